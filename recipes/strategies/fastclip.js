/**
 * FastCLIP v3: the loss over the whole data set from running estimates.
 *
 *     node recipes/strategies.js --data emoji --recipe fastclip
 *
 * RESULT
 */
export default [{ name: 'fastclip v3', strategy: 'fastclip', settings: {} }];
