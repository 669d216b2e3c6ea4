"""Just enough of a Dockerfile to compare it with images.toml: instructions, stages, build arguments.

Knows nothing of the images. Does not expand shell text inside RUN.
"""

import json
import re
import shlex
from dataclasses import dataclass, field


@dataclass
class Stage:
    base: str
    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def last(self, instruction: str) -> str:
        found = [rest for name, rest in self.instructions if name == instruction]
        return found[-1] if found else ""

    @property
    def env(self) -> dict[str, str]:
        pairs = {}
        for name, rest in self.instructions:
            if name == "ENV":
                pairs |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        return pairs

    @property
    def entrypoint(self) -> list[str]:
        return json.loads(self.last("ENTRYPOINT") or "[]")

    @property
    def runs(self) -> str:
        return "\n".join(rest for name, rest in self.instructions if name == "RUN")

    @property
    def copies(self) -> list[str]:
        return [rest for name, rest in self.instructions if name == "COPY"]


@dataclass
class Dockerfile:
    arguments: dict[str, str]
    stages: list[Stage]

    @property
    def final(self) -> Stage:
        return self.stages[-1]

    def stage(self, name: str) -> Stage:
        return next(stage for stage in self.stages if stage.name == name)


def parse(text: str) -> Dockerfile:
    text = re.sub(r"(?m)^\s*#.*\n", "", text).replace("\\\n", " ")
    file = Dockerfile({}, [])
    for line in filter(None, map(str.strip, text.splitlines())):
        name, rest = line.split(None, 1)
        if name == "ARG" and not file.stages:
            key, value = rest.split("=", 1)
            file.arguments[key] = value
        elif name == "FROM":
            for key, value in file.arguments.items():
                rest = rest.replace("${" + key + "}", value)
            base, _, alias = rest.partition(" AS ")
            file.stages.append(Stage(base, alias))
        else:
            file.stages[-1].instructions.append((name, rest))
    return file
