/** Ends a recipe with one sentence where its command or its data are wrong; to be imported before all else. */

process.on('uncaughtException', (error) => {
  const { name, code = '', exitCode = 1, message } = error;
  const isUsage = String(code).startsWith('ERR_PARSE_ARGS');
  // TypeError and its like are mistakes of the recipe, whose place matters.
  const isExpected = isUsage || ['Error', 'BantamError', 'UsageError', 'TorchError'].includes(name);
  console.error(isExpected ? `error: ${message}` : error);
  process.exit(isUsage ? 2 : exitCode);
});
