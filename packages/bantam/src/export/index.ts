export { exportWeb, type ExportWebOptions, type WebDtype, type WebExport } from './web/export-web.js';
