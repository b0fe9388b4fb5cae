/**
 * Network namespaces of Linux as machines: each has its own interface and address, on a switch (a bridge in a
 * further namespace) or on a line with a delay. Needs root, `ip` and `tc`; a delay needs Python as well.
 */
import { execFileSync, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const relay = fileURLToPath(new URL('delay.py', import.meta.url));

/** Runs a command; throws its standard error. */
function run(command, ...args) {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/**
 * Null where machines can be made, or else why not.
 *
 * @returns {string | null}
 */
export function whyNoMachines() {
  if (process.platform !== 'linux') return 'network namespaces are a part of Linux';
  if (process.getuid() !== 0) return 'network namespaces need root';
  const name = `bantam-try-${process.pid}`;
  try {
    run('ip', 'netns', 'add', name);
    run('ip', 'netns', 'del', name);
    return null;
  } catch (error) {
    return `"ip netns add" fails: ${String(error.stderr ?? error.message).trim()}`;
  }
}

/** Machines of one network. {@link remove} must follow, also after a failure. */
export class Machines {
  #names;
  #switch = `bantam-${process.pid}-switch`;
  #relay = null;

  /** @param {number} count */
  constructor(count) {
    this.#names = Array.from({ length: count }, (_, i) => `bantam-${process.pid}-${i}`);
  }

  /** Address of a machine. */
  address(machine) {
    return `10.77.0.${machine + 1}`;
  }

  /** Name of the interface in every machine. */
  get interface() {
    return 'eth0';
  }

  /**
   * Connects the machines.
   *
   * @param {{ delay?: number, megabits?: number }} [options] milliseconds that a packet takes from one of two
   * machines to the other; bits a second that each sends. By default nothing slows them down.
   */
  async connect({ delay = 0, megabits = Infinity } = {}) {
    for (const name of this.#names) {
      run('ip', 'netns', 'add', name);
      run('ip', '-n', name, 'link', 'set', 'lo', 'up');
    }
    if (delay > 0) await this.#line(delay);
    else this.#star();
    for (const [i, name] of this.#names.entries()) {
      run('ip', '-n', name, 'address', 'add', `${this.address(i)}/24`, 'dev', 'eth0');
      run('ip', '-n', name, 'link', 'set', 'eth0', 'up');
      if (megabits < Infinity) this.#limit(name, megabits);
    }
  }

  /** Each machine's cable ends in a port of the switch. */
  #star() {
    run('ip', 'netns', 'add', this.#switch);
    run('ip', '-n', this.#switch, 'link', 'add', 'switch', 'type', 'bridge');
    run('ip', '-n', this.#switch, 'link', 'set', 'switch', 'up');
    for (const [i, name] of this.#names.entries()) {
      const ends = ['type', 'veth', 'peer', 'name', `port${i}`, 'netns', this.#switch];
      run('ip', '-n', name, 'link', 'add', 'eth0', ...ends);
      run('ip', '-n', this.#switch, 'link', 'set', `port${i}`, 'master', 'switch');
      run('ip', '-n', this.#switch, 'link', 'set', `port${i}`, 'up');
    }
  }

  /** Two machines on a line that holds every packet back. */
  async #line(delay) {
    if (this.#names.length !== 2) throw new Error('A delay is between two machines.');
    const ends = this.#names.map((_, i) => `bantam${process.pid % 10_000}d${i}`);
    this.#relay = spawn('python3', [relay, ...ends, String(delay)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    await new Promise((resolve, reject) => {
      this.#relay.stdout.once('data', resolve);
      this.#relay.once('error', reject);
      this.#relay.once('exit', () => reject(new Error('The line with a delay did not start.')));
    });
    for (const [i, name] of this.#names.entries()) {
      run('ip', 'link', 'set', ends[i], 'netns', name);
      run('ip', '-n', name, 'link', 'set', ends[i], 'name', 'eth0', 'mtu', '9000', 'txqueuelen', '10000'); // prettier-ignore
    }
  }

  /** A token bucket: a millisecond's bytes may go at once. */
  #limit(name, megabits) {
    const burst = Math.max(20_000, Math.round((megabits * 1e6) / 8 / 1000));
    const bucket = ['rate', `${megabits}mbit`, 'burst', String(burst), 'latency', '200ms'];
    run('tc', '-n', name, 'qdisc', 'add', 'dev', 'eth0', 'root', 'tbf', ...bucket);
  }

  /** Program and arguments that run a command on a machine. */
  command(machine, command, args) {
    return ['ip', ['netns', 'exec', this.#names[machine], command, ...args]];
  }

  /**
   * Cuts a machine's link to the switch.
   *
   * @param {number} machine
   * @param {'silent' | 'carrier' | 'interface'} kind packets vanish; the cable is pulled; the machine's
   * interface goes down
   */
  cut(machine, kind) {
    const port = ['link', 'set', `port${machine}`];
    if (kind === 'silent') run('ip', '-n', this.#switch, ...port, 'nomaster');
    if (kind === 'carrier') run('ip', '-n', this.#switch, ...port, 'down');
    if (kind === 'interface') run('ip', '-n', this.#names[machine], 'link', 'set', 'eth0', 'down');
  }

  /** Cuts two machines off from each other, but from no other. */
  cutBetween(first, second) {
    for (const [from, to] of [
      [first, second],
      [second, first],
    ]) {
      run('ip', '-n', this.#names[from], 'route', 'add', 'blackhole', `${this.address(to)}/32`);
    }
  }

  /** Takes the machines down; what still runs on them loses its network. */
  async remove() {
    if (this.#relay !== null) {
      const ended = new Promise((resolve) => this.#relay.once('exit', resolve));
      this.#relay.stdin.end();
      await ended;
    }
    for (const name of [...this.#names, this.#switch]) {
      try {
        run('ip', 'netns', 'del', name);
      } catch {
        // It was not made.
      }
    }
  }
}
