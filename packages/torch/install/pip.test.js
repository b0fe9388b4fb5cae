import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { InstallError } from './install-error.js';
import { pipError } from './pip.js';

/** Outputs of pip, and the words that our sentence must have. */
const CASES = /** @type {const} */ ([
  [
    "WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError(...: Failed to establish a new connection: [Errno 111] Connection refused')\nERROR: Could not find a version that satisfies the requirement torch==2.13.0 (from versions: none)\nERROR: No matching distribution found for torch==2.13.0",
    /can't reach the package index/,
  ],
  [
    'ERROR: Could not find a version that satisfies the requirement torch==2.13.0 (from versions: none)\nERROR: No matching distribution found for torch==2.13.0',
    /no version of torch==2.13.0 at all/,
  ],
  [
    'ERROR: Could not find a version that satisfies the requirement torch==2.13.0 (from versions: 2.8.0, 2.9.0)\nERROR: No matching distribution found for torch==2.13.0',
    /has no torch==2.13.0 for this platform/,
  ],
  [
    'ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device',
    /disk of "\/cache" is full/,
  ],
  [
    "ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: '/cache/x'",
    /may not write to "\/cache"/,
  ],
  [
    "WARNING: Retrying after connection broken by 'SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]'))'",
    /does not trust/,
  ],
  [
    'ERROR: HTTP error 403 while getting torch-2.13.0.whl\nERROR: 403 Client Error: Forbidden for url',
    /answered 403/,
  ],
  ['MemoryError', /ran out of memory/],
  ['ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.', /was damaged/],
  ['WARNING: x\nERROR: Something new.', /\(Something new\)/],
  ['', /it was ended/],
]);

describe('pipError', () => {
  for (const [output, expected] of CASES) {
    it(`says "${expected.source}"`, () => {
      const error = pipError('torch==2.13.0', output, '/cache');
      assert.ok(error instanceof InstallError);
      assert.match(error.message, expected);
      assert.doesNotMatch(error.message, /\n/);
    });
  }
});
