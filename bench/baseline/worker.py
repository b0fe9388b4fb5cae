"""The baseline: OpenCLIP on PyTorch. Requests come over standard input.

A line of JSON asks, a line of JSON on standard output answers; see bench/src/protocol.ts for both.
Everything that libraries print goes to standard error.
"""

import json
import os
import sys
import traceback


def take_stdout():
    """The real standard output for answers; what anything else prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return answers


def peak_bytes() -> int | None:
    """The most resident memory since the last reset, where Linux tells it."""
    try:
        with open("/proc/self/status") as status:
            lines = [line for line in status if line.startswith("VmHWM:")]
        return int(lines[0].split()[1]) * 1024
    except OSError:
        return None


def reset_peak() -> None:
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


class Worker:
    """Holds one workload at a time and runs steps of it when asked."""

    def __init__(self):
        self.workload = None

    def answer(self, request: dict) -> dict:
        return getattr(self, f"on_{request['op']}")(request)

    def on_open(self, request: dict) -> dict:
        if request["workload"]["kind"] == "load":
            from loader import open_loader as open_workload
        else:
            from workloads import open_workload
        self.workload = open_workload(request["workload"], request["settings"])
        reset_peak()
        if hasattr(self.workload, "reset_peak"):
            self.workload.reset_peak()
        return {}

    def on_check(self, request: dict) -> dict:
        return self.workload.check()

    def on_run(self, request: dict) -> dict:
        return self.workload.run(request["steps"])

    def on_learn(self, request: dict) -> dict:
        from learning import learn

        return learn(request)

    def on_memory(self, request: dict) -> dict:
        on_gpu = self.workload.peak_bytes() if hasattr(self.workload, "peak_bytes") else None
        return {"peakBytes": peak_bytes() if on_gpu is None else on_gpu}

    def on_facts(self, request: dict) -> dict:
        import open_clip
        import torch
        from open_clip.tokenizer import default_bpe

        return {
            "torch": torch.__version__,
            "openClip": open_clip.__version__,
            "threads": torch.get_num_threads(),
            "vocabulary": default_bpe(),
            "models": open_clip.list_models(),
        }


def main() -> None:
    answers = take_stdout()
    worker = Worker()
    for line in sys.stdin:
        try:
            answer = worker.answer(json.loads(line))
        except Exception as error:  # whatever fails is the answer; the other implementation decides
            traceback.print_exc()
            message = str(error).strip().split("\n")[0] or type(error).__name__
            answer = {"error": f"{type(error).__name__}: {message}"}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
