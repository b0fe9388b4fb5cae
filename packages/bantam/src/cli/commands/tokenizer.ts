import type { Command } from 'commander';
import { does, examples } from '../command.js';
import { positiveInteger, wholeNumber } from '../values.js';

interface TrainFlags {
  readonly data: string;
  readonly out: string;
  readonly vocabSize: number;
  readonly contextLength: number;
  readonly seed: number;
}

/** `bantam tokenizer train` and `bantam tokenizer encode` */
export function addTokenizer(program: Command): void {
  const tokenizer = program.command('tokenizer').description('train tokenizers and try them');
  examples(tokenizer, ['bantam tokenizer train --data csv:pairs.csv --out tokenizer']);

  const train = tokenizer
    .command('train')
    .description('train a byte-pair tokenizer on the captions of a data set')
    .requiredOption('--data <spec>', 'data set with the captions')
    .requiredOption('--out <directory>', 'folder for tokenizer.json and what belongs to it')
    .option('--vocab-size <n>', 'the most entries of the vocabulary', positiveInteger, 4096)
    .option('--context-length <n>', 'longest text in tokens', positiveInteger, 32)
    .option('--seed <n>', 'seed of the captions drawn from the recipe', wholeNumber, 0);
  examples(train, [
    'bantam tokenizer train --data csv:pairs.csv --out tokenizer --vocab-size 8192',
  ]);
  does(train, async ({ data, out, seed, ...settings }: TrainFlags) => {
    const { openSource } = await import('../../data/index.js');
    const { prepareTokenizer } = await import('../../train/config/tokenizer.js');
    const source = await openSource(data);
    const options = { tokenizer: { path: '', ...settings }, seed };
    const trained = await prepareTokenizer(options, source, undefined);
    await trained.save(out);
    const { vocabSize, contextLength } = trained;
    return {
      text: `Tokenizer of ${vocabSize} entries: ${out}`,
      json: { tokenizer: out, vocabSize, contextLength },
    };
  });

  const encode = tokenizer
    .command('encode')
    .description('show the token ids of texts')
    .requiredOption('--tokenizer <path>', 'tokenizer.json, its folder, or a model directory')
    .argument('<text...>', 'texts');
  examples(encode, ['bantam tokenizer encode --tokenizer quickstart/model "happy cat"']);
  does(encode, async (flags: { tokenizer: string }, texts: string[]) => {
    const { loadTokenizer } = await import('../../text/index.js');
    const loaded = await loadTokenizer(flags.tokenizer);
    const encoded = texts.map((text) => ({ text, ids: loaded.encode(text) }));
    return { text: encoded.map(({ ids }) => ids.join(' ')).join('\n'), json: encoded };
  });
}
