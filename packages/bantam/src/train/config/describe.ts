/** Documentation of the settings, made from their schemas: tables for the docs, JSON Schema for editors. */
import { toJsonSchema, type JsonSchema } from '@valibot/to-json-schema';
import * as v from 'valibot';
import {
  defaultOf,
  entriesOf,
  groupsOf,
  literalOf,
  tagsOf,
  type AnySchema,
  type Group,
} from '../../base/schema.js';
import { augmentations, augmentSchema } from '../../data/index.js';
import { modelSchema } from '../../models/index.js';
import { contrastiveLossSchema } from '../strategies/contrastive.js';
import { nameOf, strategies } from '../strategies/index.js';
import { runSchema } from './config.js';
import { fineTuneSchema } from './fine-tune.js';

/** A JSON Schema of the options of `train()`, by which editors complete and check them. */
export function configJsonSchema(): JsonSchema {
  const schema = jsonSchemaOf(runSchema);
  const { model = {}, augment = {} } = schema.properties ?? {};
  return {
    ...schema,
    title: 'Options of a Bantam training run',
    properties: {
      ...schema.properties,
      model: { ...asObject(model), anyOf: [{ type: 'string' }, bare(modelSchema)] },
      augment: {
        ...asObject(augment),
        anyOf: [{ enum: Object.keys(augmentations) }, bare(augmentSchema)],
      },
    },
  };
}

/** A JSON Schema of what a schema takes; parts that JSON Schema cannot say accept anything. */
export function jsonSchemaOf(schema: AnySchema): JsonSchema {
  return toJsonSchema(schema, {
    typeMode: 'input',
    errorMode: 'ignore',
    overrideSchema({ valibotSchema, jsonSchema }) {
      // A tagged union may be given by its tag alone.
      const { type } = valibotSchema;
      return type === 'lazy' ? { anyOf: [{ enum: tagsOf(valibotSchema) }, jsonSchema] } : undefined;
    },
  });
}

/** A schema to nest in another one. */
function bare(schema: AnySchema): JsonSchema {
  const inner = { ...jsonSchemaOf(schema) };
  delete inner.$schema;
  return inner;
}

function asObject(schema: JsonSchema | boolean): JsonSchema {
  return typeof schema === 'object' ? schema : {};
}

/** Markdown tables of the settings by name: `train`, `tokenizer`, …, `loss`, `strategy`. */
export function settingsTables(): ReadonlyMap<string, string> {
  const top = entriesOf(runSchema);
  const plain = ['train', 'tokenizer', 'validation', 'init', 'preprocess'];
  const tables = plain.map((name): [string, string] => {
    const entry = top[name] as AnySchema;
    return [name, settingsTable(entry, `${name}.`)];
  });
  const fineTune = rowsOf(groupsOf(fineTuneSchema), 'fineTune.');
  const losses = rowsOf(groupsOf(contrastiveLossSchema), 'strategy.loss.');
  const own = strategies.flatMap((kind) => {
    const rows = rowsOf([kind.schema], 'strategy.');
    return rows
      .filter(({ name }) => name !== 'strategy.loss')
      .map((row) => ({ ...row, of: nameOf(kind) }));
  });
  return new Map([
    ...tables,
    ['fineTune', table(fineTune)],
    ['loss', table(losses)],
    ['strategy', table(together(own))],
  ]);
}

/** Markdown table of the settings of a group, their names after a prefix such as `limits.`. */
export function settingsTable(schema: AnySchema, prefix = ''): string {
  return table(rowsOf(groupsOf(schema), prefix));
}

/** A row of a table of settings. */
interface Row {
  /** The tags of the groups that have the setting. */
  readonly of: string;
  readonly name: string;
  readonly values: string;
  readonly fallback: string;
  readonly description: string;
}

function rowsOf(groups: readonly Group[], prefix: string): Row[] {
  const rows = groups.flatMap((group) =>
    Object.entries(group.entries as Readonly<Record<string, AnySchema>>)
      .filter(([name]) => name !== 'type')
      .map(([name, entry]): Row => {
        const fallback = defaultOf(entry);
        return {
          of: tagsOf(group).join(),
          name: `${prefix}${name}`,
          values: valuesOf(entry),
          fallback: fallback === undefined ? '' : `\`${JSON.stringify(fallback)}\``,
          description: v.getDescription(inner(entry)) ?? '',
        };
      }),
  );
  return together(rows);
}

/** Rows of the same setting as one, with all tags and values. */
function together(rows: readonly Row[]): Row[] {
  const merged: Row[] = [];
  for (const row of rows) {
    const i = merged.findIndex((before) => isSame(before, row));
    const before = merged[i];
    if (before === undefined) merged.push(row);
    else {
      merged[i] = {
        ...row,
        of: union(before.of, row.of),
        values: union(before.values, row.values),
        fallback: before.fallback || row.fallback,
      };
    }
  }
  return merged;
}

/** True if two rows are of one setting; a default may be that of another group. */
function isSame(a: Row, b: Row): boolean {
  const alike = a.name === b.name && a.description === b.description;
  return alike && (a.fallback === b.fallback || a.fallback === '' || b.fallback === '');
}

function union(a: string, b: string): string {
  return [...new Set([...a.split(', '), ...b.split(', ')].filter(Boolean))].join(', ');
}

function table(rows: readonly Row[]): string {
  const tagged = rows.some(({ of }) => of !== '');
  const head = [...(tagged ? ['type'] : []), 'setting', 'values', 'default', 'description'];
  const lines = rows.map(({ of, name, values, fallback, description }) => [
    ...(tagged ? [of] : []),
    `\`${name}\``,
    values,
    fallback,
    description,
  ]);
  return [head, head.map(() => '---'), ...lines]
    .map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`)
    .join('\n');
}

interface Wrapped {
  readonly wrapped?: AnySchema;
}

/** The schema within an optional one. */
function inner(schema: AnySchema): AnySchema {
  const { wrapped } = schema as AnySchema & Wrapped;
  return wrapped === undefined ? schema : inner(wrapped);
}

/** The accepted values in words, such as "a number above 0". */
function valuesOf(schema: AnySchema): string {
  const literal = literalOf(schema);
  if (literal !== undefined) return JSON.stringify(literal);
  const own = inner(schema);
  if ((own as { type: string }).type === 'lazy') {
    return tagsOf(own)
      .map((tag) => JSON.stringify(tag))
      .join(' or ');
  }
  const refused = v.safeParse(own, Symbol.iterator, { abortEarly: true });
  return refused.issues?.[0].message ?? '';
}
