import { InvalidArgumentError, Option, type Command } from 'commander';
import {
  sentencePieceWrappers,
  type SentencePieceWrapper,
} from '../../text/sentencepiece/wrappers.js';
import { trainedVocabSize } from '../../text/tokenizer.js';
import type { TokenizerKind } from '../../train/config/tokenizer.js';
import { UsageError } from '../../base/errors.js';
import { action, examples } from '../command.js';
import { openTokenizer } from '../open-tokenizer.js';
import { positiveInteger, wholeNumber } from '../values.js';

interface TrainFlags extends TokenizerKind {
  readonly data: string;
  readonly out: string;
  readonly vocabSize: number;
  readonly contextLength: number;
  readonly seed: number;
}

interface EncodeFlags {
  readonly tokenizer: string;
  readonly wrapper?: SentencePieceWrapper;
}

/** Options that only unigram models have, and their settings. */
const unigramOnly = [
  ['--character-coverage', 'characterCoverage'],
  ['--byte-fallback', 'byteFallback'],
  ['--normalization', 'normalization'],
  ['--max-captions', 'maxCaptions'],
] as const;

/** A fraction as SentencePiece's trainer takes it. */
function coverage(value: string): number {
  const number = Number(value);
  if (number >= 0.98 && number <= 1) return number;
  throw new InvalidArgumentError('It must be a number from 0.98 to 1.');
}

/** `bantam tokenizer train` and `bantam tokenizer encode` */
export function addTokenizer(program: Command): void {
  const tokenizer = program.command('tokenizer').description('train and try tokenizers');
  examples(tokenizer, ['bantam tokenizer train --data csv:pairs.csv --out tokenizer']);

  const train = tokenizer
    .command('train')
    .description('train a byte-pair or unigram tokenizer on the captions of a data set')
    .requiredOption('--data <spec>', 'data set whose captions to train on')
    .requiredOption('--out <directory>', 'folder for tokenizer.json and its configuration')
    .addOption(
      new Option('--type <type>', 'bpe: byte pairs as CLIP; unigram: a model of SentencePiece')
        .choices(['bpe', 'unigram'])
        .default('bpe'),
    )
    .option('--vocab-size <n>', 'maximum size of the vocabulary', positiveInteger, trainedVocabSize)
    .option('--context-length <n>', 'context length in tokens', positiveInteger, 32)
    .option(
      '--character-coverage <fraction>',
      'unigram: fraction of all characters that get tokens (default: 0.9995)',
      coverage,
    )
    .option('--byte-fallback', 'unigram: characters without a token become bytes')
    .addOption(
      new Option(
        '--normalization <name>',
        'unigram: normalisation of texts (default: nmt_nfkc)',
      ).choices(['nmt_nfkc', 'identity']),
    )
    .option(
      '--max-captions <n>',
      'unigram: captions to learn from at most, sampled from all (default: 1000000)',
      positiveInteger,
    )
    .option('--seed <n>', 'seed of the caption templates', wholeNumber, 0);
  examples(train, [
    'bantam tokenizer train --data csv:pairs.csv --out tokenizer --vocab-size 8192',
    'bantam tokenizer train --data csv:pairs.csv --out tokenizer --type unigram --vocab-size 32000',
  ]);
  action(train, async ({ data, out, seed, ...settings }: TrainFlags) => {
    const unused = unigramOnly.find(([, name]) => settings[name] !== undefined);
    if (settings.type !== 'unigram' && unused !== undefined) {
      throw new UsageError(`${unused[0]} belongs to --type unigram; give both or neither.`);
    }
    const { openSource } = await import('../../data/index.js');
    const { trainOnSource } = await import('../../train/config/tokenizer.js');
    const trained = trainOnSource(await openSource(data), { seed, ...settings });
    await trained.save(out);
    const { vocabSize, contextLength } = trained;
    return {
      text: `Tokenizer of ${vocabSize} entries${vocabSize < settings.vocabSize ? ', more than which the captions do not yield' : ''}: ${out}`,
      json: { tokenizer: out, vocabSize, contextLength },
    };
  });

  const encode = tokenizer
    .command('encode')
    .description('print the token ids of texts')
    .requiredOption(
      '--tokenizer <path>',
      'tokenizer.json, a .model file of SentencePiece, a folder of either, or a model directory',
    )
    .addOption(
      new Option(
        '--wrapper <name>',
        'special ids around those of a .model file (default: by the files beside it)',
      ).choices(sentencePieceWrappers),
    )
    .argument('<text...>', 'texts');
  examples(encode, ['bantam tokenizer encode --tokenizer quickstart/model "happy cat"']);
  action(encode, async ({ tokenizer: path, wrapper }: EncodeFlags, texts: string[]) => {
    const loaded = await openTokenizer(path, { ...(wrapper !== undefined && { wrapper }) });
    const encoded = texts.map((text) => ({ text, ids: loaded.encode(text) }));
    return { text: encoded.map(({ ids }) => ids.join(' ')).join('\n'), json: encoded };
  });
}
