import {
  add,
  cumsum,
  dims,
  div,
  eq,
  full,
  index,
  le,
  logicalAnd,
  logicalOr,
  logsumexp,
  lt,
  mean,
  mul,
  noGrad,
  nonzero,
  pow,
  reshape,
  scope,
  select,
  softmax,
  sort,
  sum,
  to,
  transpose,
  where,
  zeros,
  type Tensor,
} from '@bantam/torch';

/** Options of {@link chooseExperts}. */
export interface ChooseOptions {
  /** Experts that a token wants. */
  topK: number;
  /** The most tokens that an expert takes; null: any number. */
  capacity: number | null;
}

/** Which token goes to which expert, boolean [N, E] both. */
export interface Choice {
  /** Each token's experts of the highest scores. */
  wanted: Tensor;
  /** The experts that take it. */
  taken: Tensor;
}

/**
 * Sends each token to the experts of its highest scores [N, E].
 *
 * If experts have a capacity, all tokens' first choices come before the second ones, and
 * earlier tokens before later ones (Lepikhin et al. 2021, algorithm 1). A token all of whose experts
 * are full is not dropped, as it would be there: it goes to its next best expert that has room. With
 * room for all tokens together, each has an expert, so that a mixture of equal experts equals one of
 * them whatever the router computes.
 */
export function chooseExperts(scores: Tensor, { topK, capacity }: ChooseOptions): Choice {
  return noGrad(() =>
    scope(() => {
      const [tokens, experts] = dims(scores, 2);
      const { device } = scores;
      // Rank of each expert among the choices of the token.
      const ranks = sort(sort(scores, { dim: 1, descending: true }).indices, { dim: 1 }).indices;
      const wanted = lt(ranks, topK);
      // The load is unknown on the meta device.
      const unlimited = capacity === null || capacity >= tokens || device === 'meta';
      if (unlimited) return { wanted, taken: wanted };

      let taken = zeros([tokens, experts], { dtype: 'bool', device });
      let load = zeros([experts], { dtype: 'int64', device });
      const offer = (choice: Tensor): void => {
        const accepted = logicalAnd(choice, le(add(cumsum(choice, 0), load), capacity));
        taken = logicalOr(taken, accepted);
        load = add(load, sum(accepted, { dim: 0 }));
      };
      for (let rank = 0; rank < experts; rank++) {
        const choice = eq(ranks, rank);
        const idle = eq(sum(taken, { dim: 1, keepdim: true }), 0);
        offer(rank < topK ? choice : logicalAnd(choice, idle));
      }
      return { wanted, taken };
    }),
  );
}

/** Weight of each expert's output: the softmax over the experts that take the token, [N, E]. */
export function gatesOf(logits: Tensor, taken: Tensor): Tensor {
  return softmax(where(taken, logits, full([], -Infinity, { device: logits.device })), 1);
}

/** Tokens in the order of their experts. */
export interface Dispatch {
  /** int64 [A], a token once for each of its experts. */
  tokens: Tensor;
  /** How many of them each expert has. */
  loads: readonly number[];
  /** [A] */
  gates: Tensor;
}

/** Lists the tokens of each expert. On the meta device the load counts as even. */
export function dispatch(gates: Tensor, taken: Tensor, topK: number): Dispatch {
  const [tokens, experts] = dims(taken, 2);
  const { device } = taken;
  if (device === 'meta') {
    const indices = zeros([tokens * topK], { dtype: 'int64', device });
    const start = (expert: number) => Math.floor((tokens * topK * expert) / experts);
    const loads = Array.from({ length: experts }, (_, i) => start(i + 1) - start(i));
    return { tokens: indices, loads, gates: index(gates, [indices, indices]) };
  }
  const pairs = nonzero(transpose(taken, 0, 1));
  const [expert, token] = [select(pairs, 1, 0), select(pairs, 1, 1)];
  return {
    tokens: token,
    loads: sum(taken, { dim: 0 }).toArray(),
    gates: index(gates, [token, expert]),
  };
}

/** Options of {@link routingLoss}. */
export interface RoutingLossOptions {
  /** Rows of the batch that the tokens belong to, equally many to each. */
  rows: number;
  balanceWeight: number;
  zLossWeight: number;
}

/**
 * Loss that a router adds to that of each row of the batch, [B], of whose tokens `wanted` may have more: those of
 * a whole batch of which this is a part. Its mean over the rows of the whole is
 * w_b·E·Σ_e f_e·P_e + w_z·mean(log²Σ_e exp l_e).
 *
 * The first term is the load-balancing loss (Fedus et al. 2022, eq. 4), 1 at an even load: f_e is
 * the fraction of all choices that are for expert e, P_e the mean of its probability. The second keeps
 * the logits small (Zoph et al. 2022, eq. 5).
 */
export function routingLoss(
  logits: Tensor,
  wanted: Tensor,
  { rows, balanceWeight, zLossWeight }: RoutingLossOptions,
): Tensor {
  const choices = sum(wanted, { dim: 0 });
  const fraction = div(mul(to(choices, { dtype: logits.dtype }), logits.dim(1)), sum(choices));
  const balance = sum(mul(softmax(logits, 1), fraction), { dim: 1 });
  const size = pow(logsumexp(logits, { dim: 1 }), 2);
  const losses = add(mul(balance, balanceWeight), mul(size, zLossWeight));
  return mean(reshape(losses, [rows, -1]), { dim: 1 });
}
