/** The one libtorch version that Bantam compiles against, fetches and accepts at load. */
export const LIBTORCH_VERSION = '2.13.0';
