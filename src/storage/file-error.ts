import { type ErrorCode, isMillraceError, MillraceError, messageOf } from "../errors.js";

const codes: Readonly<Record<string, ErrorCode>> = {
	ENOENT: "not_found",
	ENOTDIR: "not_found",
	EACCES: "permission_denied",
	EPERM: "permission_denied",
	EROFS: "permission_denied",
	ENOSPC: "resource_exhausted",
	EDQUOT: "resource_exhausted",
	EMFILE: "resource_exhausted",
	EISDIR: "failed_precondition",
	EEXIST: "failed_precondition",
	ENOTEMPTY: "failed_precondition",
	ELOOP: "failed_precondition",
	EBUSY: "failed_precondition",
	ENAMETOOLONG: "invalid_argument",
	EIO: "data_loss",
	EFBIG: "resource_exhausted",
};

/**
 * Turns what the file system threw into a MillraceError: `message`, then the system's own words. A
 * MillraceError is returned as it is.
 */
export function fileError(thrown: unknown, message: string): MillraceError {
	if (isMillraceError(thrown)) {
		return thrown;
	}
	const errno = thrown instanceof Error && "code" in thrown ? String(thrown.code) : "";
	return new MillraceError(codes[errno] ?? "unknown", `${message}: ${messageOf(thrown)}`, { cause: thrown });
}
