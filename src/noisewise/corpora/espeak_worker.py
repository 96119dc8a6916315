"""The child process in which eSpeak NG speaks; `noisewise.corpora.espeak` starts and feeds it.

Run as a file, ``python espeak_worker.py LIBRARY DATA fork|once``, so that it loads the
standard library and eSpeak alone. It answers each JSON line on standard input,
``{"text", "name", "rate", "volume", "pitch", "range"}``, with one JSON line
``{"bytes": n, "rate": Hz}`` and n bytes of 16-bit PCM, or with ``{"error": message,
"refused": whether the request is at fault}``.

eSpeak carries state from one utterance into the next and seeds its noise with the clock, so
two requests for the same words would differ. Here every utterance starts from the freshly
loaded library (in ``fork`` mode each has its own fork, in ``once`` mode the process ends after
one) and from a fixed noise seed: the answer depends on the request alone.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from typing import Any

_SYNCHRONOUS, _DONT_EXIT, _UTF8, _SEED = 2, 0x8000, 1, 1
_PARAMETERS = {"rate": 1, "volume": 2, "pitch": 3, "range": 4}
_LIMIT_S = 60
_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class Engine:
    """eSpeak NG, loaded once; `speak` is good for one call a process."""

    def __init__(self, library: str, data: str) -> None:
        self.lib = ctypes.CDLL(library)
        self.rate = self.lib.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), _DONT_EXIT)
        self.pcm = bytearray()
        self.callback = _Callback(self._collect)
        self.lib.espeak_SetSynthCallback(self.callback)

    def _collect(self, samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            self.pcm += ctypes.string_at(samples, 2 * count)
        return 0

    def speak(self, request: dict[str, Any]) -> bytes:
        """The whole answer to a request."""
        if self.rate <= 0:
            return _error("eSpeak NG does not start: its data is missing or damaged")
        if self.lib.espeak_SetVoiceByName(request["name"].encode()):
            return _error(f"eSpeak NG has no voice {request['name']!r}", refused=True)
        for name, number in _PARAMETERS.items():
            self.lib.espeak_SetParameter(number, int(request[name]), 0)
        self.lib.espeak_ng_SetRandSeed(ctypes.c_long(_SEED))
        text = request["text"].encode()
        status = self.lib.espeak_Synth(text, len(text) + 1, 0, 1, 0, _UTF8, None, None)
        if status:
            return _error(f"eSpeak NG failed on {request['text']!r} (status {status})")
        return _line(bytes=len(self.pcm), rate=self.rate) + self.pcm


def _line(**values: Any) -> bytes:
    return json.dumps(values).encode() + b"\n"


def _error(message: str, refused: bool = False) -> bytes:
    return _line(error=message, refused=refused)


def _speak_in_fork(engine: Engine, request: dict[str, Any]) -> bytes:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(_LIMIT_S)  # a hang ends as an error
        with os.fdopen(write, "wb") as pipe:
            pipe.write(engine.speak(request))
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        answer = pipe.read()
    status = os.waitpid(child, 0)[1]
    if status:
        return _error(f"eSpeak NG crashed on {request['text']!r} (status {status})")
    return answer


def main(library: str, data: str, mode: str) -> None:
    """Answer requests until standard input ends."""
    engine = Engine(library, data)
    speak = engine.speak if mode == "once" else lambda request: _speak_in_fork(engine, request)
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(speak(json.loads(line)))
        sys.stdout.buffer.flush()
        if mode == "once":
            break


if __name__ == "__main__":
    main(*sys.argv[1:])
