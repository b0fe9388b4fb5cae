/**
 * FLIP: half of the patches for nine tenths of the budget, then all.
 *
 *     node recipes/strategies.js --data emoji --recipe flip
 *
 * RESULT
 */
export default [{ name: 'flip', strategy: 'flip', settings: {} }];
