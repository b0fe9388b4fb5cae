import type { Command } from 'commander';
import { action, examples } from '../command.js';
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
  const tokenizer = program.command('tokenizer').description('train and try tokenizers');
  examples(tokenizer, ['bantam tokenizer train --data csv:pairs.csv --out tokenizer']);

  const train = tokenizer
    .command('train')
    .description('train a byte-pair tokenizer on the captions of a data set')
    .requiredOption('--data <spec>', 'data set whose captions to train on')
    .requiredOption('--out <directory>', 'folder for tokenizer.json and its configuration')
    .option('--vocab-size <n>', 'maximum size of the vocabulary', positiveInteger, 4096)
    .option('--context-length <n>', 'context length in tokens', positiveInteger, 32)
    .option('--seed <n>', 'seed of the caption templates', wholeNumber, 0);
  examples(train, [
    'bantam tokenizer train --data csv:pairs.csv --out tokenizer --vocab-size 8192',
  ]);
  action(train, async ({ data, out, seed, ...settings }: TrainFlags) => {
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
    .description('print the token ids of texts')
    .requiredOption('--tokenizer <path>', 'tokenizer.json, its folder, or a model directory')
    .argument('<text...>', 'texts');
  examples(encode, ['bantam tokenizer encode --tokenizer quickstart/model "happy cat"']);
  action(encode, async (flags: { tokenizer: string }, texts: string[]) => {
    const { loadTokenizer } = await import('../../text/index.js');
    const loaded = await loadTokenizer(flags.tokenizer);
    const encoded = texts.map((text) => ({ text, ids: loaded.encode(text) }));
    return { text: encoded.map(({ ids }) => ids.join(' ')).join('\n'), json: encoded };
  });
}
