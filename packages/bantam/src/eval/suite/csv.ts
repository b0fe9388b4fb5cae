import type { SuiteEntry, SuiteModel, SuiteReport } from './suite-result.js';

/** CLIP_benchmark's names of tasks. */
const taskNames: Readonly<Record<SuiteEntry['task'], string>> = {
  'zero-shot': 'zeroshot_classification',
  retrieval: 'zeroshot_retrieval',
  'linear-probe': 'linear_probe',
  'few-shot': 'few_shot',
  knn: 'knn',
  associations: 'winogavil',
  queries: 'queries',
};

/** A result as a JSON document of CLIP_benchmark, which its `build` command reads. */
export function clipBenchmarkResult(entry: SuiteEntry, { name, directory }: SuiteModel) {
  return {
    dataset: datasetName(entry),
    model: name,
    pretrained: directory,
    task: taskNames[entry.task],
    metrics: entry.metrics,
    language: 'en',
  };
}

function datasetName({ dataset, labels = 'label' }: SuiteEntry): string {
  return labels === 'label' ? dataset : `${dataset}/${labels}`;
}

/** Results as CSV with CLIP_benchmark's columns: a metric each, then what was measured. */
export function suiteCsv({ results, models }: Pick<SuiteReport, 'results' | 'models'>): string {
  const rows = results.flatMap((entry) => {
    const model = models.find(({ name }) => name === entry.model);
    return model === undefined ? [] : clipBenchmarkResult(entry, model);
  });
  const metrics = [...new Set(rows.flatMap((row) => Object.keys(row.metrics)))];
  const head = [...metrics, 'dataset', 'model', 'pretrained', 'task', 'language', 'model_fullname'];
  const lines = rows.map(({ metrics: values, dataset, model, pretrained, task, language }) => [
    ...metrics.map((metric) => {
      const value = values[metric];
      return value ?? '';
    }),
    dataset,
    model,
    pretrained,
    task,
    language,
    `${model} ${pretrained}`,
  ]);
  return [head, ...lines].map((line) => `${line.map(csvField).join(',')}\n`).join('');
}

function csvField(value: string | number): string {
  const written = String(value);
  return /[",\r\n]/.test(written) ? `"${written.replaceAll('"', '""')}"` : written;
}
