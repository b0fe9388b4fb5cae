import { TorchError } from '../errors.js';
import { Module } from '../nn/module.js';
import type { Parameter } from '../nn/parameter.js';
import { matchNames, nameMatcher, type NamePattern } from '../nn/pattern.js';

/** Says how some parameters are optimised. */
export interface GroupRule {
  /** Parameters with these names; default: any name. */
  match?: NamePattern;
  /** Parameters with at most this many dimensions; default: any. */
  maxRank?: number;
  /** Default: the optimiser's. */
  weightDecay?: number;
  /** Multiplier of the learning rate. Default 1. */
  lrScale?: number;
  /** `match` may match no name. Default false: no match is an error. */
  optional?: boolean;
}

/** A module whose parameters are named with something before them. */
export interface NamedModule {
  readonly module: Module;
  /** `strategy.` makes `head.weight` into `strategy.head.weight`. Default: nothing. */
  readonly prefix?: string;
}

/** One module, or several with different prefixes. */
export type ModuleSource = Module | readonly NamedModule[];

/** Parameters that are optimised alike. */
export interface ParameterGroup {
  /** The rule of the group, for printing. */
  readonly label: string;
  readonly parameters: ReadonlyMap<string, Parameter>;
  /** Undefined: the optimiser's. */
  readonly weightDecay?: number | undefined;
  readonly lrScale: number;
}

/**
 * No decay for what OpenCLIP 3.3's trainer leaves out of it: scalars and vectors, and names that
 * contain `bn`, `ln`, `bias` or `logit_scale`. Positional embeddings are matrices and do decay.
 */
export const openClipDecayRules: readonly GroupRule[] = [
  { maxRank: 1, weightDecay: 0 },
  { match: '/bn|ln|bias|logit_scale/', weightDecay: 0, optional: true },
];

function label({ match, maxRank }: GroupRule): string {
  const parts = [
    ...(match === undefined ? [] : [String(match)]),
    ...(maxRank === undefined ? [] : [`rank ≤ ${maxRank}`]),
  ];
  return parts.length > 0 ? parts.join(', ') : 'any';
}

/** The parameters of all modules by name; one that is in several modules is listed once. */
function allParameters(source: ModuleSource): Map<string, Parameter> {
  const modules: readonly NamedModule[] = source instanceof Module ? [{ module: source }] : source;
  const named = new Map<string, Parameter>();
  const seen = new Set<Parameter>();
  for (const { module, prefix = '' } of modules) {
    for (const [path, parameter] of module.namedParameters()) {
      if (seen.has(parameter)) continue;
      seen.add(parameter);
      const name = prefix + path;
      if (named.has(name)) {
        throw new TorchError(
          `Two parameters are named '${name}'; give the modules different prefixes.`,
        );
      }
      named.set(name, parameter);
    }
  }
  return named;
}

/** Options of {@link parameterGroups}. */
export interface ParameterGroupsOptions {
  /**
   * A further factor of the learning rate by name, such as that of layer-wise decay: a rule's
   * parameters are divided by it.
   */
  lrScale?: (name: string) => number;
}

/**
 * Divides the parameters of modules by rules: the first rule that a parameter meets takes it, and
 * those that meet none form the last group. Each parameter that is not frozen is in exactly one
 * group; groups without parameters are left out.
 *
 * @throws TorchError when a rule's pattern matches no name, or two parameters have one name.
 */
export function parameterGroups(
  source: ModuleSource,
  rules: readonly GroupRule[],
  { lrScale = () => 1 }: ParameterGroupsOptions = {},
): ParameterGroup[] {
  const named = allParameters(source);
  const parts = [...rules, {}].map((rule: GroupRule, index) => {
    const matches = rule.match === undefined ? () => true : nameMatcher(rule.match);
    if (rule.match !== undefined && rule.optional !== true) matchNames([rule.match], named.keys());
    return {
      label: index === rules.length ? 'the rest' : label(rule),
      rule,
      byScale: new Map<number, Map<string, Parameter>>(),
      takes: (name: string, { rank }: Parameter) =>
        rank <= (rule.maxRank ?? Infinity) && matches(name),
    };
  });
  for (const [name, parameter] of named) {
    if (!parameter.requiresGrad) continue;
    const part = parts.find(({ takes }) => takes(name, parameter));
    if (part === undefined) continue;
    const scale = (part.rule.lrScale ?? 1) * lrScale(name);
    const parameters = part.byScale.get(scale) ?? new Map<string, Parameter>();
    part.byScale.set(scale, parameters.set(name, parameter));
  }
  return parts.flatMap(({ label, rule: { weightDecay }, byScale }) =>
    [...byScale].map(([scale, parameters]) => ({
      label,
      parameters,
      weightDecay,
      lrScale: scale,
    })),
  );
}

/**
 * Sees to it that every parameter of the modules is either frozen or in exactly one group.
 *
 * @throws TorchError that names the first one that is not.
 */
export function assertGroupsCover(groups: readonly ParameterGroup[], source: ModuleSource): void {
  const grouped = new Map<Parameter, number>();
  for (const { parameters } of groups) {
    for (const parameter of parameters.values()) {
      grouped.set(parameter, (grouped.get(parameter) ?? 0) + 1);
    }
  }
  for (const [name, parameter] of allParameters(source)) {
    const count = grouped.get(parameter) ?? 0;
    if (count === (parameter.requiresGrad ? 1 : 0)) continue;
    const kind = parameter.requiresGrad ? 'is not frozen' : 'is frozen';
    throw new TorchError(
      `The parameter '${name}' ${kind} and is in ${count} groups; freeze before the groups are made, and let them not overlap.`,
    );
  }
}

function describeParameters(parameters: Iterable<Parameter>): string {
  const sizes = Array.from(parameters, ({ size }) => size);
  const weights = sizes.reduce((sum, size) => sum + size, 0);
  return `${sizes.length} tensors, ${weights.toLocaleString('en')} weights`;
}

/**
 * One line per group: what made it, how many tensors and weights, decay and learning-rate factor;
 * and a last one for what is frozen, where something is.
 */
export function describeGroups(groups: readonly ParameterGroup[], source: ModuleSource): string {
  const frozen = [...allParameters(source).values()].filter(({ requiresGrad }) => !requiresGrad);
  return [
    ...groups.map(({ label, parameters, weightDecay, lrScale }) => {
      const decay = weightDecay === undefined ? 'default' : String(weightDecay);
      const scale = Number(lrScale.toPrecision(4));
      return `${label}: ${describeParameters(parameters.values())}, weight decay ${decay}, learning rate × ${scale}`;
    }),
    ...(frozen.length > 0 ? [`frozen: ${describeParameters(frozen)}`] : []),
  ].join('\n');
}
