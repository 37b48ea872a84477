"""Installs an update image: checks its manifest, runs its operations in order, undoes them after a failure.

Killed at any moment and called again, it continues from the journal: an operation with a result is over, the one
without is continued at its steps.
"""

from __future__ import annotations

import asyncio
import errno
import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from sota.boundaries.b7_core_rvi.messages import Operation as ReportedOperation
from sota.boundaries.b7_core_rvi.messages import StartDownload
from sota.boundaries.update_image.image import Image, read_image
from sota.boundaries.update_image.manifest import Install, Operation, Reboot, Remove, Run, file_of
from sota.boundaries.values import Command, Reason
from sota.kit.errors import Invalid, Refused
from sota.kit.files.durable import private_folder
from sota.slm.entry import DownloadEntry
from sota.slm.images import commands
from sota.slm.images.model import CHECK, UNDO, Check, Do, Result, Rule, next_move
from sota.slm.installers import Capability, Installer, InstallerFailed
from sota.slm.installers import Command as StepCommand
from sota.slm.journal import Journal
from sota.slm.model import Finished, ResultCode, Step
from sota.slm.operation import OperationRunner, PackageOperation, code_without_answer, refuse_old_version
from sota.slm.settings import SlmSettings

TEXT_LIMIT, TEXTS_LIMIT = 4096, 200_000
"""Characters of one operation's text in the report, and of all together: a report is one message."""

Work = Callable[[int, Image, Operation], Awaitable[Result]]


class ImageInstallation:
    """Installs update images, one at a time; what is extracted from them is below ``settings.data``."""

    def __init__(
        self, settings: SlmSettings, journal: Journal, installers: Mapping[str, Installer], operations: OperationRunner
    ) -> None:
        self._settings, self._journal, self._installers = settings, journal, installers
        self._operations = operations
        self._folder = settings.data.resolve() / "taken-out"

    async def installed_version(self, name: str) -> str | None:
        """Return the version of an image that is installed."""
        return next((image.version for image in await self._journal.images() if image.name == name), None)

    async def install(self, entry: DownloadEntry, start: StartDownload, file: Path) -> Finished | None:
        """Run an image's operations, or continue with them. Returns None if it was cancelled before it began."""
        try:
            image = await asyncio.to_thread(self._examine, start, file)
        except (Invalid, Refused) as error:
            return Finished(False, ResultCode.VALIDATION_FAILED, Reason.VERIFICATION_FAILED, error.detail)
        except OSError as error:
            text = f"The image cannot be read: {error}."
            return Finished(False, ResultCode.INTERNAL_ERROR, Reason.INSTALL_FAILED, text)
        if not entry.state.is_begun:
            previous = await self.installed_version(start.package.name)
            if not await self._journal.begin(entry, previous):
                return None
        finished = await self._run(entry.download_index, image)
        if finished.succeeded:
            await self._keep_all(entry.download_index, image)
        for installer in self._installers.values():
            await self._operations.backups.remove_unused(installer)
        shutil.rmtree(self._folder / str(entry.download_index), ignore_errors=True)
        return finished

    async def reported(self, download_index: int) -> list[ReportedOperation]:
        """Return the results of all operations, with the output of their steps, for the report."""
        results = await self._journal.results(download_index)
        limit = min(TEXT_LIMIT, TEXTS_LIMIT // max(1, len(results)))
        return [
            ReportedOperation(id=name, result_code=result.code, result_text=result.text[-limit:])
            for name, result in results.items()
        ]

    def _examine(self, start: StartDownload, file: Path) -> Image:
        """Check the image before anything is changed.

        Raises:
            Invalid, Refused: this vehicle does not accept it.
        """
        image = read_image(file)
        if image.signature is not None or not self._settings.allow_unsigned_images:
            # An idle vehicle does not load the signature libraries.
            from sota.boundaries.package_signature import load_public_keys

            image.check_signature(load_public_keys(self._settings.keys))
        if image.manifest.package != start.package:
            raise Invalid(f"The image is {image.manifest.package.text}, not {start.package.text}.")
        image.check_files()
        for operation in image.manifest.operations:
            if isinstance(operation, Run):
                self._command(operation, file)
            elif isinstance(operation, Install | Remove) and operation.installer not in self._installers:
                raise Invalid(f"Operation {operation.id}: this vehicle has no installer {operation.installer!r}.")
        return image

    async def _run(self, index: int, image: Image) -> Finished:
        operations = image.manifest.operations
        rules = [Rule(operation.id, operation.on_failure) for operation in operations]
        while True:
            move = next_move(rules, await self._journal.results(index), checked=self._operations.checks)
            if isinstance(move, Finished):
                return move
            if isinstance(move, Check):
                command = self._operations.check_command("image", image.manifest.package)
                ended = await self._operations.run_command(index, CHECK, Step.CHECK, command)
                code = ResultCode.OK if ended.exit_code == 0 else ResultCode.GENERAL_ERROR
                key, result = CHECK, Result(code, ended.output)
            else:
                operation = operations[move.position]
                work, key = (self._do, operation.id) if isinstance(move, Do) else (self._undo, UNDO + operation.id)
                result = await self._retry(work, index, image, operation)
            await self._journal.end_operation(index, key, result)

    async def _retry(self, work: Work, index: int, image: Image, operation: Operation) -> Result:
        """Run an operation; an installer that keeps failing is a failed operation."""
        try:
            return await self._operations.retry(index, lambda: work(index, image, operation))
        except InstallerFailed as error:
            return Result(code_without_answer(error.detail), await self._output(index, operation.id, error.detail))

    async def _do(self, index: int, image: Image, operation: Operation) -> Result:
        try:
            file = await self._extract(index, image, operation)
        except Refused as error:
            return Result(ResultCode.VALIDATION_FAILED, error.detail)
        except OSError as error:
            full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
            code = ResultCode.DISK_FULL if full else ResultCode.INTERNAL_ERROR
            return Result(code, f"{file_of(operation)} cannot be extracted: {error.strerror}")
        if isinstance(operation, Reboot):
            ended = await self._operations.run_boot(index, operation.id)
            return Result(ResultCode.OK if ended.exit_code == 0 else ResultCode.GENERAL_ERROR, ended.output)
        if isinstance(operation, Run):
            ended = await self._operations.run_command(index, operation.id, Step.RUN, self._command(operation, file))
            return Result(ResultCode.OK if ended.exit_code == 0 else commands.CODES[operation.action], ended.output)
        return await self._do_package(index, image, operation)

    async def _do_package(self, index: int, image: Image, operation: Install | Remove) -> Result:
        package_operation = self._package_operation(index, image, operation)
        history, opened = await self._journal.steps(index, operation.id)
        if not history and opened is None:
            refusal = await self._refuse(operation, package_operation)
            if refusal is not None:
                return Result(refusal.code, refusal.text)
        found = await package_operation.installer.find(operation.package.name)
        previous = await self._journal.begin_operation(index, operation.id, found.running_version)
        finished = await self._operations.run(package_operation, previous, operation.id)
        return Result(finished.code, await self._output(index, operation.id, finished.text))

    async def _refuse(self, operation: Install | Remove, package_operation: PackageOperation) -> Finished | None:
        """Check an operation before it begins; return the refusal, if there is one."""
        refusal = await self._operations.inspect(package_operation)
        if refusal is not None or isinstance(operation, Remove):
            return refusal
        for entry in operation.blacklist:
            other = self._installers.get(entry.installer)
            running = (await other.find(entry.name)).running_version if other else None
            if running is not None and entry.version in {None, running}:
                text = f"{entry.name} {running} is in the vehicle."
                return Finished(False, ResultCode.BLACKLISTED, Reason.BLACKLISTED, text)
        if operation.allow_downgrade:
            return None
        installer, package = package_operation.installer, operation.package
        running = (await installer.find(package.name)).running_version
        return await refuse_old_version(installer, running, package.version)

    async def _undo(self, index: int, image: Image, operation: Operation) -> Result:
        if not isinstance(operation, Install | Remove):
            return Result(ResultCode.GENERAL_ERROR, f"{operation.id} cannot be undone: only packages can.")
        key = UNDO + operation.id
        previous = await self._journal.previous_version(index, operation.id)
        package_operation = self._package_operation(index, image, operation)
        finished = await self._operations.run(package_operation, previous, key, undo=True)
        code = ResultCode.OK if finished.reason is Reason.ROLLED_BACK else ResultCode.GENERAL_ERROR
        return Result(code, await self._output(index, key, finished.text))

    def _package_operation(self, index: int, image: Image, operation: Install | Remove) -> PackageOperation:
        following = image.manifest.operations[image.manifest.operations.index(operation) + 1 :]
        return PackageOperation(
            index,
            Command.INSTALL if isinstance(operation, Install) else Command.REMOVE,
            operation.package,
            self._installers[operation.installer],
            self._path(index, image, operation),
            operation.id,
            frozenset(each.package.name for each in following if isinstance(each, Install | Remove)),
        )

    def _command(self, operation: Run, file: Path) -> StepCommand:
        return commands.command_for(self._settings.image_commands, operation, file if operation.file else None)

    async def _extract(self, index: int, image: Image, operation: Operation) -> Path:
        name, path = file_of(operation), self._path(index, image, operation)
        if name is not None and not path.exists():
            private_folder(path.parent)
            await asyncio.to_thread(image.take_out, name, path)
        return path

    def _path(self, index: int, image: Image, operation: Operation) -> Path:
        return self._folder / str(index) / f"{image.manifest.operations.index(operation)}.payload"

    async def _output(self, index: int, key: str, text: str) -> str:
        history, _ = await self._journal.steps(index, key)
        return "\n".join([*(record.output for record in history if record.output), text])

    async def _keep_all(self, index: int, image: Image) -> None:
        """Keep the files of what runs now as backups."""
        for operation in image.manifest.operations:
            if isinstance(operation, Install):
                installer = self._installers[operation.installer]
                try:
                    found = await installer.find(operation.package.name)
                except InstallerFailed:
                    continue
                if Capability.RESTORE in installer.capabilities and found.runs(operation.package.version):
                    path = self._path(index, image, operation)
                    self._operations.backups.keep(operation.package, installer.name, path)
