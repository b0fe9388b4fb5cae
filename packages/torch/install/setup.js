export { main as setup } from './main.js';
