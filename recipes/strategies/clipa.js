/**
 * CLIPA: pictures of half the edge and captions of eight tokens for nine tenths of the budget, then
 * full size.
 *
 *     node recipes/strategies.js --data emoji --recipe clipa
 *
 * RESULT
 */
export default [{ name: 'clipa', strategy: 'clipa', settings: {} }];
