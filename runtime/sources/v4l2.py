"""What a video device of Linux says about itself: Video4Linux2, through the standard library.

Structures and requests: linux/videodev2.h, https://docs.kernel.org/userspace-api/media/v4l/.
Checked against the kernel's headers and stand-ins for drivers, and not run on hardware.
"""

import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Capability", "Control", "capability", "check_is_free", "open_device", "row_stride"]

# Asks the driver: request number, structure that it reads and fills. Raises OSError.
Control: TypeAlias = Callable[[int, ctypes.Structure], None]

CAPTURE = 1  # V4L2_BUF_TYPE_VIDEO_CAPTURE
DISCRETE, CONTINUOUS, STEPWISE = 1, 2, 3  # v4l2_frmsizetypes and v4l2_frmivaltypes
_MMAP = 1  # V4L2_MEMORY_MMAP
_CAN_CAPTURE, _CAN_CAPTURE_PLANES, _CAN_METADATA = 0x1, 0x1000, 0x800000
_HAS_DEVICE_CAPS = 0x80000000
_U32 = ctypes.c_uint32


class V4l2Capability(ctypes.Structure):
    _fields_ = (
        ("driver", ctypes.c_char * 16),
        ("card", ctypes.c_char * 32),
        ("bus_info", ctypes.c_char * 32),
        ("version", _U32),
        ("capabilities", _U32),
        ("device_caps", _U32),
        ("reserved", _U32 * 3),
    )


class V4l2FormatDescription(ctypes.Structure):
    _fields_ = (
        ("index", _U32),
        ("type", _U32),
        ("flags", _U32),
        ("description", ctypes.c_char * 32),
        ("pixelformat", _U32),
        ("mbus_code", _U32),
        ("reserved", _U32 * 3),
    )


class V4l2FrameSize(ctypes.Structure):
    """sizes: width and height where discrete; else least, most and step of either."""

    _fields_ = (
        ("index", _U32),
        ("pixel_format", _U32),
        ("type", _U32),
        ("sizes", _U32 * 6),
        ("reserved", _U32 * 2),
    )


class V4l2FrameInterval(ctypes.Structure):
    """intervals, s, as numerator and denominator: one where discrete; else least, most and step."""

    _fields_ = (
        ("index", _U32),
        ("pixel_format", _U32),
        ("width", _U32),
        ("height", _U32),
        ("type", _U32),
        ("intervals", _U32 * 6),
        ("reserved", _U32 * 2),
    )


class _PixelFormatOrOther(ctypes.Union):
    """pix: width, height, pixelformat, field, bytesperline, ... A member with a pointer aligns it."""

    _fields_ = (("pix", _U32 * 12), ("raw", ctypes.c_uint8 * 200), ("pointer", ctypes.c_void_p))


class V4l2Format(ctypes.Structure):
    _fields_ = (("type", _U32), ("fmt", _PixelFormatOrOther))


class V4l2RequestBuffers(ctypes.Structure):
    _fields_ = (
        ("count", _U32),
        ("type", _U32),
        ("memory", _U32),
        ("capabilities", _U32),
        ("flags_and_reserved", ctypes.c_uint8 * 4),
    )


def _request(number: int, structure: type[ctypes.Structure], *, writes: bool = True) -> int:
    """_IOWR('V', number, structure), or _IOR where the driver only fills it (asm-generic/ioctl.h)."""
    direction = 3 if writes else 2
    return direction << 30 | ctypes.sizeof(structure) << 16 | ord("V") << 8 | number


QUERYCAP = _request(0, V4l2Capability, writes=False)
ENUM_FMT = _request(2, V4l2FormatDescription)
G_FMT = _request(4, V4l2Format)
REQBUFS = _request(8, V4l2RequestBuffers)
ENUM_FRAMESIZES = _request(74, V4l2FrameSize)
ENUM_FRAMEINTERVALS = _request(75, V4l2FrameInterval)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """card: the camera's name. captures: pictures in one plane of memory, which OpenCV reads.
    captures_planes: in several only. is_metadata: the node gives a camera's metadata."""

    card: str
    captures: bool
    captures_planes: bool
    is_metadata: bool


@contextmanager
def open_device(path: str) -> Iterator[Control]:
    """A descriptor of its own, for questions; it does not keep others from capturing.

    Raises OSError.
    """
    import fcntl  # where there is no V4L2 there may be no fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def control(request: int, structure: ctypes.Structure) -> None:
        fcntl.ioctl(descriptor, request, structure)

    try:
        yield control
    finally:
        os.close(descriptor)


def capability(control: Control) -> Capability:
    """Raises OSError, ENOTTY for what is no video device."""
    answer = V4l2Capability()
    control(QUERYCAP, answer)
    # A camera with several nodes lists in `capabilities` what any of them can do.
    has_own = answer.capabilities & _HAS_DEVICE_CAPS
    own = answer.device_caps if has_own else answer.capabilities
    return Capability(
        card=answer.card.decode("utf-8", "replace"),
        captures=bool(own & _CAN_CAPTURE),
        captures_planes=bool(own & _CAN_CAPTURE_PLANES),
        is_metadata=bool(own & _CAN_METADATA),
    )


def check_is_free(control: Control) -> None:
    """Giving back no buffers needs the queue, which who captures holds, and costs nothing.

    Asked before OpenCV, some of whose versions wait for a camera that is taken. Raises OSError,
    EBUSY where another descriptor captures.
    """
    try:
        control(REQBUFS, V4l2RequestBuffers(count=0, type=CAPTURE, memory=_MMAP))
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTTY):  # a driver of another manner
            raise


def row_stride(control: Control) -> int:
    """Bytes from one row to the next as the device is set now; 0 where the driver does not say.

    Raises OSError.
    """
    answer = V4l2Format(type=CAPTURE)
    control(G_FMT, answer)
    return int(answer.fmt.pix[4])
