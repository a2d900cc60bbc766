"""`sam3-edge gstreamer`: the element's way into GStreamer."""

import click

from sam3_edge.errors import UsageError
from sam3_edge.gstreamer_check import check_element
from sam3_edge.gstreamer_place import install_element, shell_exports


@click.command(short_help="Put the element sam3edge into GStreamer.")
@click.option("--install", is_flag=True, help="Put the element in place for this user.")
@click.option("--check", is_flag=True, help="Run a short pipeline and say what it found.")
@click.option("--env", is_flag=True, help="Print shell exports that do without --install.")
def gstreamer(install: bool, check: bool, env: bool) -> None:
    """Put the element sam3edge into GStreamer, or prove that it is there.

    \b
    Examples:
      sam3-edge gstreamer --install --check
      eval "$(sam3-edge gstreamer --env)"
      gst-launch-1.0 videotestsrc ! videoconvert ! sam3edge prompt=fish \\
        draw=masks ! videoconvert ! autovideosink
    """
    if env and (install or check):
        raise UsageError("expected --env alone: a shell reads what it prints")
    if env:
        click.echo(shell_exports(), nl=False)
        return
    if not (install or check):
        raise UsageError("expected --install, --check or --env, got none; try --install --check")
    if install:
        click.echo(f"installed  {install_element()}")
    if check:
        check_element(click.echo)
