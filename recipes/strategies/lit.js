/**
 * LiT: the text tower alone, anew, for the image tower of the clip run with the same seed, which has
 * to be there (the table's cost does not hold it).
 *
 *     node recipes/strategies.js --data emoji --recipe lit --recipe clip
 *
 * RESULT
 */
export default [{ name: 'lit, tower of the clip run', strategy: 'lit', settings: {} }];
