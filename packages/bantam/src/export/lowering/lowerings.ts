import type { OperatorCall } from './operator-call.js';

/** Adds the nodes of a call to the graph, and gives the name of its result, or of each. */
export type Lowering = (call: OperatorCall) => string | readonly string[];

/** Translations by the operator's name and overload. */
export type Lowerings = Readonly<Record<string, Lowering>>;
