import { deviceType, resolveDevice, type Device } from '@bantam/torch';

/** The device that tests compare with the CPU: the emulated one, or that of `BANTAM_TEST_DEVICE`. */
export const testDevice: Device = resolveDevice(process.env.BANTAM_TEST_DEVICE ?? 'emulated');

/** False for tests that need the emulated device's counters, or its sums in the same order every time. */
export const needsEmulated: string | false =
  deviceType(testDevice) !== 'emulated' && 'it is for the emulated device';

/** False for tests of what differs between a device and the CPU. */
export const needsOther: string | false =
  deviceType(testDevice) === 'cpu' && 'it is for devices other than the CPU';
