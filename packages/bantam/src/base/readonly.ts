/** A value all of whose members are read-only, nested ones included. */
export type DeepReadonly<T> = T extends object
  ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> }
  : T;

/** A frozen copy of plain data, nested objects and lists included. */
export function frozenCopy<T>(value: T): DeepReadonly<T> {
  const copy = structuredClone(value);
  freeze(copy);
  // The same members, which TypeScript cannot tell of a conditional type.
  return copy as DeepReadonly<T>;
}

function freeze(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  for (const member of Object.values(value)) freeze(member);
  Object.freeze(value);
}
