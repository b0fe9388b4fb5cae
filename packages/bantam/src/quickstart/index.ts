/** From nothing to a model and a report in one call. */
export {
  quickstart,
  type QuickstartEvent,
  type QuickstartOptions,
  type QuickstartResult,
} from './quickstart.js';
export { naturalQueries } from './natural-queries.js';
export { quickstartRecipe, type QuickstartRecipe } from './recipe.js';
