import type { MethodsOf } from "./pending.js";

/** The properties of T, without its methods. */
export type FieldsOf<T> = Omit<T, keyof MethodsOf<T>>;
