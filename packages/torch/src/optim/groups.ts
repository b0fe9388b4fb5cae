import { TorchError } from '../errors.js';
import type { Module } from '../nn/module.js';
import type { Parameter } from '../nn/parameter.js';
import { nameMatcher, type NamePattern } from '../nn/pattern.js';

/** Says how some parameters are optimised. */
export interface GroupRule {
  /** Parameters with these names; default: any name. */
  match?: NamePattern;
  /** Parameters with at most this many dimensions; default: any. */
  maxRank?: number;
  /** Default: the optimiser's. */
  weightDecay?: number;
  /** Factor of the learning rate. Default 1. */
  lrScale?: number;
  /** Whether `match` may match no name at all. Default false: then it is a misspelling. */
  optional?: boolean;
}

/** Parameters that are optimised alike. */
export interface ParameterGroup {
  /** What made the group, for printing. */
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

/**
 * Divides a module's parameters by rules: the first rule that a parameter meets takes it, and those
 * that meet none form the last group. Each parameter that is not frozen is in exactly one group;
 * groups without parameters are left out.
 *
 * @throws TorchError when a rule's pattern matches no name of the module.
 */
export function parameterGroups(module: Module, rules: readonly GroupRule[]): ParameterGroup[] {
  const named = module.namedParameters();
  const groups = [...rules, {}].map((rule: GroupRule, index) => {
    const matches = rule.match === undefined ? () => true : nameMatcher(rule.match);
    if (rule.optional !== true && rule.match !== undefined && ![...named.keys()].some(matches)) {
      throw new TorchError(
        `The parameter rule '${String(rule.match)}' matches none of the ${named.size} parameter names; correct it or leave it out.`,
      );
    }
    return {
      label: index === rules.length ? 'the rest' : label(rule),
      parameters: new Map<string, Parameter>(),
      weightDecay: rule.weightDecay,
      lrScale: rule.lrScale ?? 1,
      takes: (name: string, { rank }: Parameter) =>
        rank <= (rule.maxRank ?? Infinity) && matches(name),
    };
  });
  for (const [name, parameter] of named) {
    if (!parameter.requiresGrad) continue;
    groups.find(({ takes }) => takes(name, parameter))?.parameters.set(name, parameter);
  }
  return groups
    .filter(({ parameters }) => parameters.size > 0)
    .map(({ label, parameters, weightDecay, lrScale }) => ({
      label,
      parameters,
      weightDecay,
      lrScale,
    }));
}

/** One line per group: what made it, how many tensors and weights, decay and learning-rate factor. */
export function describeGroups(groups: readonly ParameterGroup[]): string {
  return groups
    .map(({ label, parameters, weightDecay, lrScale }) => {
      const weights = [...parameters.values()].reduce((sum, { size }) => sum + size, 0);
      const decay = weightDecay === undefined ? 'default' : String(weightDecay);
      return `${label}: ${parameters.size} tensors, ${weights.toLocaleString('en')} weights, weight decay ${decay}, learning rate × ${lrScale}`;
    })
    .join('\n');
}
