/** The description of the API, made from the schemas by which requests are checked. */
import { toJsonSchema, type JsonSchema } from '@valibot/to-json-schema';
import type { AnySchema } from '../../base/schema.js';
import { version } from '../../base/version.js';
import { classifySchema, embeddingsSchema, searchSchema } from './requests.js';

const number = { type: 'number' } as const;
const whole = { type: 'integer' } as const;
const string = { type: 'string' } as const;

function object(properties: Readonly<Record<string, unknown>>, optional: readonly string[] = []) {
  return {
    type: 'object',
    properties,
    required: Object.keys(properties).filter((name) => !optional.includes(name)),
  };
}

function list(items: unknown) {
  return { type: 'array', items };
}

const usage = object({ prompt_tokens: whole, total_tokens: whole });
const errors = list(object({ index: whole, message: string }));

/** Answers by the name of their schema. */
const answers = {
  Embeddings: object(
    {
      object: { const: 'list' },
      data: list(
        object({
          object: { const: 'embedding' },
          index: whole,
          embedding: { anyOf: [list(number), string] },
        }),
      ),
      model: string,
      usage,
      truncated: list(whole),
      errors,
    },
    ['truncated', 'errors'],
  ),
  Classification: object(
    {
      object: { const: 'list' },
      data: list(
        object({
          object: { const: 'classification' },
          index: whole,
          label: string,
          score: number,
          scores: list(object({ label: string, score: number, similarity: number })),
        }),
      ),
      model: string,
      usage,
      errors,
    },
    ['errors'],
  ),
  Hits: object({
    object: { const: 'list' },
    data: list(
      object(
        {
          object: { const: 'hit' },
          key: string,
          score: number,
          caption: string,
          label: string,
          meta: { type: 'object', additionalProperties: string },
        },
        ['caption', 'label', 'meta'],
      ),
    ),
    index: string,
    model: string,
    usage,
  }),
  Models: object({
    object: { const: 'list' },
    data: list(
      object({
        id: string,
        object: { const: 'model' },
        created: whole,
        owned_by: string,
        dimensions: whole,
        context_length: whole,
        image_size: whole,
        indexes: list(object({ id: string, size: whole, approximate: { type: 'boolean' } })),
      }),
    ),
  }),
  Health: object({
    status: { enum: ['ok', 'failing'] },
    models: {
      type: 'object',
      additionalProperties: {
        anyOf: [
          object({ ms: whole }),
          object({ busy: { const: true } }),
          object({ error: string }),
        ],
      },
    },
  }),
  Error: object({
    error: object({
      message: string,
      type: string,
      param: { type: ['string', 'null'] },
      code: { type: ['string', 'null'] },
    }),
  }),
};

/** Statuses of errors, and when they are answered. */
const failures: Readonly<Record<string, string>> = {
  400: 'The request is wrong; the message names the fault.',
  401: 'The API key is missing or wrong.',
  404: 'There is no such model or index.',
  413: 'The body is too large.',
  415: 'The body is no JSON, or is compressed.',
  429: 'The queue is full; Retry-After says when to try again.',
  500: 'The model failed.',
  504: 'The request took too long.',
};

/** The OpenAPI 3.1 document of the server. */
export function openApi(): Readonly<Record<string, unknown>> {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Bantam',
      version,
      description: 'Embeddings of images and texts by CLIP models.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    paths: {
      '/v1/embeddings': post('Embeddings of texts and images', embeddingsSchema, 'Embeddings'),
      '/v1/classify': post('Zero-shot classification', classifySchema, 'Classification'),
      '/v1/search': post('Search in an index', searchSchema, 'Hits'),
      '/v1/models': get('The models', 'Models'),
      '/healthz': {
        get: {
          summary: 'Embeds a text and an image with each model',
          security: [],
          responses: { 200: answer('Health'), 503: answer('Health') },
        },
      },
      '/metrics': {
        get: {
          summary: "Metrics in Prometheus' format",
          responses: { 200: { description: 'Metrics', content: { 'text/plain': {} } } },
        },
      },
      '/openapi.json': {
        get: {
          summary: 'This document',
          responses: { 200: { description: 'OpenAPI 3.1', content: { 'application/json': {} } } },
        },
      },
    },
    components: {
      schemas: answers,
      securitySchemes: { key: { type: 'http', scheme: 'bearer' } },
    },
    security: [{ key: [] }, {}],
  };
}

function post(summary: string, schema: AnySchema, name: keyof typeof answers) {
  return {
    post: {
      summary,
      requestBody: {
        required: true,
        content: { 'application/json': { schema: bodySchema(schema) } },
      },
      responses: { 200: answer(name), ...errorAnswers() },
    },
  };
}

function get(summary: string, name: keyof typeof answers) {
  return { get: { summary, responses: { 200: answer(name), ...errorAnswers() } } };
}

function answer(name: keyof typeof answers) {
  const schema = { $ref: `#/components/schemas/${name}` };
  return { description: name, content: { 'application/json': { schema } } };
}

function errorAnswers() {
  return Object.fromEntries(
    Object.entries(failures).map(([status, description]) => [
      status,
      { ...answer('Error'), description },
    ]),
  );
}

/** The JSON Schema of a body. Its `$schema` belongs to documents of their own. */
function bodySchema(schema: AnySchema): JsonSchema {
  const inner = { ...toJsonSchema(schema, { typeMode: 'input', errorMode: 'ignore' }) };
  delete inner.$schema;
  return inner;
}
