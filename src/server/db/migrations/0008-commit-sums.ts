import type { Migration } from "../migrate.js";

/** How much a worker has committed in a run, without adding up all of its commits. */
export const commitSums: Migration = {
	name: "commit-sums",
	statements: [
		// The records of this commit and of those before it by the same worker in the same run.
		"ALTER TABLE commits ADD COLUMN run_records INTEGER NOT NULL DEFAULT 0",
		// It is read of open runs only.
		`UPDATE commits SET run_records = sums.records FROM (
			SELECT trial_id, trial_run_id, rank, member_uuid, commit_number, sum(record_count) OVER (
				PARTITION BY trial_id, trial_run_id, rank, member_uuid ORDER BY commit_number
			) AS records
			FROM trial_runs JOIN commits USING (trial_id, trial_run_id)
			WHERE trial_runs.state IN ('FORMING', 'RUNNING')
		) AS sums
		WHERE sums.trial_id = commits.trial_id AND sums.trial_run_id = commits.trial_run_id AND sums.rank = commits.rank
			AND sums.commit_number = commits.commit_number AND sums.member_uuid = commits.member_uuid`,
	],
};
