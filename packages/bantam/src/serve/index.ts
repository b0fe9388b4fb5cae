/** The server: embeddings, classification and search over HTTP. */
export { nameAll } from './model/models.js';
export { serve, type ServeEvent, type ServeOptions, type Server } from './server.js';
export { batchSchema, limitsSchema, serveSchema, type ServeSettings } from './settings.js';
