import { crc32c } from '../run-dir/crc32c.js';
import type { ReinforcedSet } from './reinforced-set.js';
import type { Teacher } from './teacher.js';

/** The teachers whose features a reinforced set holds: they compute nothing. */
export function storedTeachers(set: ReinforcedSet): Teacher[] {
  const { folder, manifest } = set;
  // Another seed or augmentation is another lesson.
  const fingerprint = crc32c(Buffer.from(JSON.stringify(manifest)));
  return manifest.teachers.map(({ embedDim, logitScale }, teacher) => ({
    embedDim,
    logitScale,
    directory: folder,
    fingerprint,
    encode({ indices, replayed }) {
      if (replayed === undefined) throw new RangeError('The batch is not of a reinforced set.');
      const { views, captions } = replayed;
      return {
        image: set.image({ teacher, indices, which: views }),
        text: set.text({ teacher, indices, which: captions }),
      };
    },
    flops: () => 0,
  }));
}
