import assert from 'node:assert/strict';
import { it } from 'node:test';
import { GroupError, ProcessGroup } from '@bantam/torch/distributed';
import { Helpers } from './helpers.js';

/** A group whose other process has ended. */
class LostGroup extends ProcessGroup {
  override exchange<T>(): Promise<T[]> {
    return Promise.reject(new GroupError('Rank 1 of 2 has ended or hangs.', [1]));
  }
}

it('helpers that are lost when the work is done are no error of rank 0', async () => {
  const helpersOf = (rank: number): Helpers =>
    new Helpers(new LostGroup({ name: 'lost', rank, size: 2, restarts: 0 }));
  await helpersOf(0).end();
  await helpersOf(0).fail(new Error('The disk is full.'));
  await assert.rejects(helpersOf(0).give({ kind: 'texts', texts: [], batchSize: 1 }), GroupError);
  await assert.rejects(helpersOf(1).receive(), GroupError);
});
