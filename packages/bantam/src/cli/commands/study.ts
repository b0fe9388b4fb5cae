import type { Command } from 'commander';
import { basename, extname, join } from 'node:path';
import { shellWord } from '../../base/shell-word.js';
import { action, examples } from '../command.js';
import { stopOnInterrupt } from '../interrupt.js';
import { Progress } from '../progress.js';
import { showStudy } from '../study-progress.js';
import { positiveInteger } from '../values.js';

interface StudyFlags {
  readonly out?: string;
  readonly processes: number;
  readonly dryRun?: true;
}

/** `bantam study` */
export function addStudy(program: Command): void {
  const command = program
    .command('study')
    .description('train and compare arms at equal cost, with seeds and intervals')
    .argument('<file>', 'description of the study: .json, or a .js or .ts module')
    .option(
      '--out <folder>',
      'folder of the study; the same command resumes it (default: studies/ and the name of the file without its extension)',
    )
    .option('--processes <n>', 'runs at a time, which share the cores', positiveInteger, 1)
    .option('--dry-run', 'only list the runs, with planned time and memory');
  examples(command, [
    'bantam study quantity.json --dry-run',
    'bantam study quantity.json --processes 2',
    'bantam study quantity.json --out studies/quantity --json',
  ]);
  action(command, async ({ processes, dryRun, ...flags }: StudyFlags, file: string) => {
    const { planStudy, readStudy, runStudy, studyPaths } = await import('../../study/index.js');
    const { formatStudy, formatStudyPlan } = await import('../study-table.js');
    const study = await readStudy(file);
    const out = flags.out ?? join('studies', basename(file, extname(file)));
    const progress = new Progress();
    const signal = stopOnInterrupt('stopping with checkpoints; the same command resumes');
    try {
      if (dryRun === true) {
        const plan = await planStudy(study, {
          out,
          processes,
          signal,
          onProgress: (done, total) => {
            progress.update('planning', `${done} of ${total} kinds of runs`);
          },
        });
        return { text: formatStudyPlan(plan), json: plan };
      }
      const result = await runStudy(study, {
        out,
        processes,
        signal,
        onEvent: showStudy(progress),
      });
      progress.done();
      const { results, report } = studyPaths(out);
      const { renderStudy } = await import('../../report/index.js');
      const { writeFileAtomic } = await import('@bantam/torch');
      const command = `bantam study ${shellWord(file)} --out ${shellWord(out)}`;
      writeFileAtomic(report, [Buffer.from(renderStudy(result, { command, date: new Date() }))]);
      const failed = result.failures.length;
      return {
        text: `${formatStudy(result)}\n\nResults: ${results}\nReport: ${report}`,
        json: result,
        ...(failed > 0 && {
          failure: `${failed === 1 ? '1 run' : `${failed} runs`} failed; the results are of the others, and the same command tries again.`,
        }),
      };
    } finally {
      progress.done();
    }
  });
}
