/** Inference speed of models, measured alternately. */
import { runBantam } from './runs.js';

/**
 * Images and captions a second of each model on one thread, the best of `repetitions` measurements, and
 * its parameters.
 *
 * @param {readonly string[]} directories of models
 * @param {{ repetitions: number, tokens: number, log: string }} options `tokens` of a caption
 * @returns {Promise<{ parameters: number, images: number, captions: number }[]>}
 */
export async function inferenceRates(directories, { repetitions, tokens, log }) {
  const rates = directories.map(() => ({ parameters: 0, images: 0, captions: 0 }));
  for (let repetition = 0; repetition < repetitions; repetition++) {
    for (const [index, directory] of directories.entries()) {
      const args = ['models', 'show', directory, '--measure', '--tokens', String(tokens), '--json'];
      const { status, output } = await runBantam(args, { log });
      if (status !== 0) throw new Error(`${directory} could not be measured, see ${log}`);
      const { parameters, rate } = JSON.parse(output);
      const best = rates[index];
      best.parameters = parameters.total;
      best.images = Math.max(best.images, rate.images);
      best.captions = Math.max(best.captions, rate.captions);
    }
  }
  return rates;
}
