/**
 * Words that Bantam does not use, each with the field's word for it. One thing has one word, in code,
 * command line, help, docs, reports and file names: that of PyTorch, OpenCLIP, webdataset and the papers.
 *
 * A pattern is tried on text in which camelCase and snake_case names are taken apart ("pictureOf" reads
 * "picture Of"), without regard to case; a space in it stands for any white space, line ends of comments
 * included.
 *
 * @type {readonly { readonly pattern: string, readonly use: string }[]}
 */
export const forbiddenWords = [
  { pattern: String.raw`\bpictures?\b`, use: 'image' },
  { pattern: String.raw`\bmatrix units?\b`, use: 'AMX' },
  { pattern: String.raw`\bprocessors\b|\b(?:the|this|a|every) processor\b`, use: 'CPU' },
  { pattern: String.raw`\bengine\b`, use: 'runtime, backend, or libtorch' },
  { pattern: String.raw`\brehears(?:e|es|ed|als?)\b`, use: 'dry run, profiling step' },
  { pattern: String.raw`\bstand-ins?\b`, use: 'dummy data' },
  { pattern: String.raw`\bpeers?\b`, use: 'baseline' },
  {
    pattern: String.raw`\bplaces\b(?<!decimal places)`,
    use: 'positions, locations, slots or rows',
  },
  {
    pattern: String.raw`\bpieces?\b(?<!sentence ?piece|word ?piece)`,
    use: 'micro-batch, token or part',
  },
  { pattern: String.raw`\bedge\b(?! cases?\b)`, use: 'size, side length or border' },
  {
    pattern: String.raw`\b(?:an?|the|this|each|its|their|small|large) share\b`,
    use: 'fraction, ratio',
  },
  { pattern: String.raw`\bshares? of\b`, use: 'fraction of, ratio' },
  { pattern: String.raw`\bteachers? (?:says?|said)\b`, use: 'stored teacher embeddings' },
  {
    pattern: String.raw`\b(?:un)?seen (?:styles?|concepts?)\b`,
    use: 'in- or out-of-distribution, held-out',
  },
  { pattern: String.raw`\b(?:go|goes|gone|going|went) on with\b`, use: 'resume' },
  { pattern: String.raw`\bhears?\b|\bheard\b`, use: 'callback, receives' },
  { pattern: String.raw`\bfarewells?\b`, use: 'message' },
  { pattern: String.raw`\bby itself\b`, use: 'automatically' },
  {
    pattern: String.raw`\bas (?:it is|they are)\b(?! (?:in|on|for|by|to|not|now)\b)`,
    use: 'unchanged',
  },
  { pattern: String.raw`\bwhere nothing\b`, use: 'if there is no' },
  { pattern: String.raw`\bwhat came of\b`, use: 'result of' },
  { pattern: String.raw`\bthe way of (?:a|an|the)\b`, use: 'data flow' },
  { pattern: String.raw`\blies\b`, use: 'is' },
  { pattern: String.raw`\bstands\b(?! for\b)`, use: 'is' },
];

/** Words with which no comment begins: it is a noun phrase, or a sentence that says why. */
export const commentOpenings = ['What', 'Where', 'Whether', 'Those that'];

/**
 * Right uses of these words.
 *
 * @type {readonly { readonly text: string, readonly why: string }[]}
 */
export const allowedUses = [
  { text: 'Xeon(R) Processor', why: 'the name of a CPU' },
  { text: 'autograd/engine', why: "libtorch's header" },
  { text: 'Engine::', why: "libtorch's class" },
  { text: 'default engine', why: "libtorch's function" },
  { text: 'autograd engine', why: "libtorch's class" },
  { text: 'class Engine final', why: "a subclass of libtorch's class" },
  { text: 'autograd::Engine', why: "libtorch's class" },
  { text: 'auto* engine = new Engine', why: "libtorch's class" },
  { text: 'return *engine', why: "libtorch's class" },
  { text: '& engine()', why: "libtorch's class" },
  { text: 'pictures.json', why: 'a file of emoji caches, which must stay readable' },
  { text: 'legacy-peer-deps', why: "npm's option" },
  { text: 'message.pieces', why: "a member of SentencePiece's files" },
  { text: 'token.piece', why: "a member of SentencePiece's files" },
  { text: 'shortest edge', why: "a key of Hugging Face's preprocessor" },
  { text: 'peer dependenc', why: "npm's term" },
  { text: "'veth', 'peer'", why: "an argument of Linux' ip" },
  { text: 'a picture of', why: 'a caption of data sets and prompt templates' },
];

/**
 * Files that the check leaves out: it would find its own list, or words of others.
 *
 * @type {readonly string[]}
 */
export const leftOut = ['scripts/words.js', 'scripts/check-words.test.js'];
