/** Layers within blocks, of all kinds of towers; routers stay apart, because they compute in float32. */
const inBlock = /(?:^|\.)(?:res)?blocks\.\d+\.(?!.*router$)/;

/** Whether a module of a tower, by its name there, is a part of a block other than a router. */
export function isInBlock(name: string): boolean {
  return inBlock.test(name);
}
