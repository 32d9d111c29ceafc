/** The passwords of users of tests. No other text of the tests contains them: whatever else holds one, has leaked it. */
export const passwords = {
	ada: "correct horse battery",
	bob: "tr0ub4dor&3-staple",
	eve: "a password of eve",
	carol: "a password of carol",
	dan: "the first of dan",
	root: "the password of root",
} as const;
