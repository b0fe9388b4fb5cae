/** Names of metrics in words. */
const names: Readonly<Record<string, string>> = {
  acc1: 'top-1 accuracy',
  acc5: 'top-5 accuracy',
  lp_acc1: 'top-1 accuracy of the linear probe',
  'image_retrieval_recall@1': 'R@1 of images by caption',
  'text_retrieval_recall@1': 'R@1 of captions by image',
};

/** A metric in words; its own name if it has no other. */
export function metricTitle(metric: string): string {
  return names[metric] ?? metric;
}

/** The items that a metric is a mean over: captions where they are the queries, else images. */
export function itemsOf(metric: string, count: number): string {
  const item = metric.startsWith('image_retrieval') ? 'caption' : 'image';
  return `${count} ${item}${count === 1 ? '' : 's'}`;
}
