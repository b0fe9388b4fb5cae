/**
 * SigLIP: CLIP with the sigmoid loss, from the paper's bias of -10.
 *
 *     node recipes/strategies.js --data emoji --recipe siglip
 *
 * RESULT
 */
export default [{ name: 'siglip', strategy: 'siglip', settings: {} }];
