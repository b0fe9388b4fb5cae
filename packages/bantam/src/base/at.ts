// Not by way of all of '@bantam/torch': data workers need none of it.
export { at } from '@bantam/torch/at';
