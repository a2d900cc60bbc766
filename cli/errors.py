"""Every error a user can cause or meet. The message is one line: expected, got, what to do.

Sam3EdgeError                exit status 1
├── UsageError               exit status 2: the command line, a prompt or an option is wrong
│   └── PromptError          an empty prompt, one longer than the context
├── SourceError              a camera, image or video that cannot be opened or read
├── SinkError                an output that cannot be written
├── EngineError              a bundle, graph or engine that cannot be loaded or run
│   └── BundleError          damaged, unverified, foreign, or of another format version
├── ExportError              a checkpoint that cannot be turned into graphs
├── CalibrationError         calibration images or ranges that cannot be used
└── TrainingError            a run that cannot start or go on
    └── DatasetError         annotations or images that cannot be trained on
"""


class Sam3EdgeError(Exception):
    """The root: `sam3-edge` prints it as one line and exits with `exit_status`."""

    exit_status = 1


class UsageError(Sam3EdgeError):
    exit_status = 2


class PromptError(UsageError):
    pass


class SourceError(Sam3EdgeError):
    pass


class SinkError(Sam3EdgeError):
    pass


class EngineError(Sam3EdgeError):
    pass


class BundleError(EngineError):
    pass


class ExportError(Sam3EdgeError):
    pass


class CalibrationError(Sam3EdgeError):
    pass


class TrainingError(Sam3EdgeError):
    pass


class DatasetError(TrainingError):
    pass
