export declare const LIBTORCH_VERSION: string;
