import { isOfLogits, type Inheritance, type InheritedParameter } from './inherit.js';

/** A part of a model whose parameters all start alike. */
export interface InheritedPart {
  /** The beginning of their names, up to a dot; what `freeze` takes. */
  readonly name: string;
  readonly start: InheritedParameter['start'];
  /** Number of elements. */
  readonly size: number;
}

/** The largest parts of a model whose parameters all start alike, in their order. */
export function inheritedParts({ parameters }: Pick<Inheritance, 'parameters'>): InheritedPart[] {
  return partsBelow(parameters, 1);
}

function partsBelow(parameters: readonly InheritedParameter[], depth: number): InheritedPart[] {
  const groups = new Map<string, InheritedParameter[]>();
  for (const parameter of parameters) {
    const name = parameter.name.split('.').slice(0, depth).join('.');
    groups.set(name, [...(groups.get(name) ?? []), parameter]);
  }
  return [...groups].flatMap(([name, group]) => {
    const [start, ...others] = new Set(group.map((parameter) => parameter.start));
    if (start === undefined) return [];
    if (others.length > 0) return partsBelow(group, depth + 1);
    return [{ name, start, size: group.reduce((sum, { size }) => sum + size, 0) }];
  });
}

/** Where a model's weights come from, as `bantam.json` keeps it. */
export interface InheritanceRecord {
  /** The teacher's model directory. */
  readonly from: string;
  readonly method: Inheritance['method'];
  /** Parts of the model that are the teacher's. */
  readonly inherited: readonly string[];
  /** Parts that are slices of the teacher's. */
  readonly sliced: readonly string[];
  readonly fresh: readonly string[];
}

export function inheritanceRecord(inheritance: Inheritance, from: string): InheritanceRecord {
  const parts = inheritedParts(inheritance);
  const named = (start: InheritedParameter['start']) =>
    parts.filter((part) => part.start === start).map(({ name }) => name);
  return {
    from,
    method: inheritance.method,
    inherited: named('inherited'),
    sliced: named('sliced'),
    fresh: named('fresh'),
  };
}

/**
 * What is frozen of a model by its `bantam.json` so that only what started fresh or from slices
 * learns: the inherited parts of the towers. Null where it was not inherited.
 */
export function inheritedPatterns(info: Readonly<Record<string, unknown>>): string[] | null {
  const { inheritance } = info;
  if (typeof inheritance !== 'object' || inheritance === null) return null;
  const inherited = 'inherited' in inheritance ? inheritance.inherited : null;
  if (!Array.isArray(inherited)) return null;
  return inherited.filter((name) => typeof name === 'string').filter((name) => !isOfLogits(name));
}
