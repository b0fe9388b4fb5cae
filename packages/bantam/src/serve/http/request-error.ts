/** Details of an error beside its status and message. */
export interface ErrorDetails {
  /** Machine-readable reason, such as `model_not_found`. */
  readonly code?: string;
  /** Member of the request that is at fault. */
  readonly param?: string;
  /** Seconds after which a client may try again. */
  readonly retryAfter?: number;
}

/** The body of an answer that is an error, in the shape of OpenAI's API. */
export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string | null;
  };
}

/** Most characters of a message: it may quote what a client sent. */
const mostCharacters = 300;

/** An error that is answered to the client. */
export class RequestError extends Error {
  override readonly name = 'RequestError';

  constructor(
    readonly status: number,
    message: string,
    readonly details: ErrorDetails = {},
  ) {
    super(message.length > mostCharacters ? `${message.slice(0, mostCharacters)}…` : message);
  }

  get body(): ErrorBody {
    const { code = null, param = null } = this.details;
    return { error: { message: this.message, type: typeOf(this.status), param, code } };
  }
}

/** A request that is wrong in itself; status 400. */
export class BadRequest extends RequestError {
  constructor(message: string, details: ErrorDetails = {}) {
    super(400, message, details);
  }
}

function typeOf(status: number): string {
  switch (status) {
    case 401:
    case 403:
      return 'authentication_error';
    case 404:
      return 'not_found_error';
    case 429:
      return 'rate_limit_error';
    default:
      return status >= 500 ? 'server_error' : 'invalid_request_error';
  }
}
