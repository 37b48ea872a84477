"""Carries an update image out: its manifest is checked, its operations are done in order, failures are taken back.

Killed anywhere and called again, it goes on where the journal says: an operation with a result is over, the one without
is taken up where its steps are.
"""

from __future__ import annotations

import asyncio
import errno
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sota.boundaries.b10_client_slm.messages import Operation as Told
from sota.boundaries.b10_client_slm.messages import StartDownload
from sota.boundaries.update_image.image import Image, read_image
from sota.boundaries.update_image.manifest import Install, Operation, Reboot, Remove, Run, file_of
from sota.boundaries.values import Command, Reason
from sota.kit.errors import Invalid, Refused
from sota.kit.files.durable import private_folder
from sota.kit.runtime.logging import get_logger
from sota.slm.backups import Backups
from sota.slm.entry import DownloadEntry
from sota.slm.images import commands
from sota.slm.images.model import CHECK, UNDO, Check, Do, Ended, Result, Rule, Undo, next_move
from sota.slm.images.store import ImageStore
from sota.slm.installers import BadPackage, Capability, Installer, InstallerFailed
from sota.slm.journal import Journal
from sota.slm.model import Finished, Job, ResultCode, Step
from sota.slm.operation import ATTEMPTS, OperationRunner, PackageOperation, code_without_answer
from sota.slm.versions import why_not_over

TEXT_LIMIT, TEXTS_LIMIT = 4096, 200_000
"""Characters of one operation's text in the report, and of all together: a report is one message."""

Work = Callable[[int, Image, Operation], Awaitable[Result]]


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom the vehicle believes: the folder of public keys, and whether it takes images without a signature."""

    keys: Path
    allow_unsigned: bool


class ImageInstallation:
    """Carries images out, one at a time."""

    def __init__(
        self,
        journal: Journal,
        installers: Mapping[str, Installer],
        operations: OperationRunner,
        kept: Backups,
        trust: Trust,
        folder: Path,
        image_commands: commands.Configured,
    ) -> None:
        self.store = ImageStore(journal)
        self._journal = journal
        self._installers = installers
        self._operations = operations
        self.kept = kept
        self._trust = trust
        self._folder = folder
        self._commands = image_commands
        self._log = get_logger(program="slm")

    def prepare(self) -> None:
        """Make the folder for what is taken out of images."""
        private_folder(self._folder)

    def clear(self, download_index: int) -> None:
        """Remove what was taken out."""
        shutil.rmtree(self._folder / str(download_index), ignore_errors=True)

    async def installed_version(self, name: str) -> str | None:
        """Give the version of an image that the vehicle has."""
        return next((image.version for image in await self.store.images() if image.name == name), None)

    async def carry_out(self, entry: DownloadEntry, start: StartDownload, file: Path) -> Finished | None:
        """Do what the image says, or go on with it; gives the result. None: it was cancelled before it began."""
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
        ended = await self._work(entry.download_index, image)
        if ended.succeeded:
            await self._keep_all(entry.download_index, image)
        for installer in self._installers.values():
            await self.kept.clear(installer)
        self.clear(entry.download_index)
        return Finished(ended.succeeded, ended.code, ended.reason, ended.text)

    async def told(self, download_index: int) -> list[Told]:
        """Give the results of all operations, with the output of their steps, for the report."""
        results = await self.store.results(download_index)
        limit = min(TEXT_LIMIT, TEXTS_LIMIT // max(1, len(results)))
        return [
            Told(id=name, result_code=result.code, result_text=result.text[-limit:]) for name, result in results.items()
        ]

    def _examine(self, start: StartDownload, file: Path) -> Image:
        """Check the image before anything is touched.

        Raises:
            Invalid, Refused: it is not one that this vehicle takes.
        """
        image = read_image(file)
        if image.signature is not None or not self._trust.allow_unsigned:
            from sota.boundaries.package_signature import load_public_keys  # a vehicle waits without its libraries

            image.check_signature(load_public_keys(self._trust.keys))
        if image.manifest.package != start.package:
            raise Invalid(f"The image is {image.manifest.package.text}, not {start.package.text}.")
        image.check_files()
        for operation in image.manifest.operations:
            if isinstance(operation, Run):
                commands.command_for(self._commands, operation, file if operation.file else None)
            elif isinstance(operation, Install | Remove) and operation.installer not in self._installers:
                raise Invalid(f"Operation {operation.id}: this vehicle has no installer {operation.installer!r}.")
        return image

    async def _work(self, index: int, image: Image) -> Ended:
        operations = image.manifest.operations
        rules = [Rule(operation.id, operation.on_failure) for operation in operations]
        while True:
            move = next_move(rules, await self.store.results(index), checked=self._operations.checks)
            if isinstance(move, Ended):
                return move
            if isinstance(move, Do):
                operation = operations[move.position]
                result = await self._patiently(self._do, index, image, operation)
                await self.store.end(index, operation.id, result)
            elif isinstance(move, Undo):
                operation = operations[move.position]
                result = await self._patiently(self._undo, index, image, operation)
                await self.store.end(index, UNDO + operation.id, result)
            elif isinstance(move, Check):
                package = image.manifest.package
                ended = await self._operations.run_check(index, CHECK, package.name, package.version)
                code = ResultCode.OK if ended.exit_code == 0 else ResultCode.GENERAL_ERROR
                await self.store.end(index, CHECK, Result(code, ended.output))

    async def _patiently(self, work: Work, index: int, image: Image, operation: Operation) -> Result:
        """Have an operation done; an installer that cannot be asked, again and again, fails it like anything else."""
        attempt = 1
        while True:
            try:
                return await work(index, image, operation)
            except InstallerFailed as error:
                self._log.error("installer_failed", download_index=index, detail=error.detail)
                if attempt == ATTEMPTS:
                    text = await self._output(index, operation.id, error.detail)
                    return Result(code_without_answer(error.detail), text)
            await asyncio.sleep(self._operations.pause_s * attempt)
            attempt += 1

    async def _do(self, index: int, image: Image, operation: Operation) -> Result:
        try:
            file = await self._take_out(index, image, operation)
        except Refused as error:
            return Result(ResultCode.VALIDATION_FAILED, error.detail)
        except OSError as error:
            full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
            code = ResultCode.DISK_FULL if full else ResultCode.INTERNAL_ERROR
            return Result(code, f"{file_of(operation)} cannot be taken out: {error.strerror}")
        if isinstance(operation, Reboot):
            ended = await self._operations.run_boot(index, operation.id)
            return Result(ResultCode.OK if ended.exit_code == 0 else ResultCode.GENERAL_ERROR, ended.output)
        if isinstance(operation, Run):
            command = commands.command_for(self._commands, operation, file if operation.file else None)
            ended = await self._operations.run_command(index, operation.id, Step.RUN, command)
            return Result(ResultCode.OK if ended.exit_code == 0 else commands.CODES[operation.action], ended.output)
        return await self._do_package(index, image, operation, file)

    async def _do_package(self, index: int, image: Image, operation: Install | Remove, file: Path) -> Result:
        installer = self._installers[operation.installer]
        history, opened = await self._journal.steps(index, operation.id)
        if not history and opened is None:
            await asyncio.to_thread(installer.prepare)
            refusal = await self._refuse(operation, installer, file)
            if refusal is not None:
                return refusal
        found = await installer.find(operation.package.name)
        previous = await self.store.begin(index, operation.id, found.running_version)
        task = await self._task(index, image, operation, file, previous)
        finished = await self._operations.work(task)
        return Result(finished.code, await self._output(index, operation.id, finished.text))

    async def _refuse(self, operation: Install | Remove, installer: Installer, file: Path) -> Result | None:
        """Look at an operation before it is begun; gives its result where it must not be."""
        if isinstance(operation, Remove):
            if Capability.REMOVE in installer.capabilities:
                return None
            return Result(ResultCode.REMOVAL_FAILED, f"Installer {installer.name!r} cannot remove.")
        try:
            await installer.inspect(file, operation.package.name, operation.package.version)
        except BadPackage as error:
            return Result(ResultCode.VALIDATION_FAILED, error.detail)
        for entry in operation.blacklist:
            other = self._installers.get(entry.installer)
            there = (await other.find(entry.name)).running_version if other else None
            if there is not None and entry.version in {None, there}:
                return Result(ResultCode.BLACKLISTED, f"{entry.name} {there} is in the vehicle.")
        there = (await installer.find(operation.package.name)).running_version
        if not operation.allow_downgrade and (why := await why_not_over(installer, there, operation.package.version)):
            return Result(ResultCode.OLD_VERSION, why)
        return None

    async def _undo(self, index: int, image: Image, operation: Operation) -> Result:
        if not isinstance(operation, Install | Remove):
            return Result(ResultCode.GENERAL_ERROR, f"{operation.id} cannot be taken back: only packages can.")
        key = UNDO + operation.id
        previous = await self.store.previous(index, operation.id)
        task = await self._task(index, image, operation, self._path(index, image, operation), previous, undo=True)
        finished = await self._operations.work(task)
        code = ResultCode.OK if finished.reason is Reason.ROLLED_BACK else ResultCode.GENERAL_ERROR
        return Result(code, await self._output(index, key, finished.text))

    async def _task(
        self,
        index: int,
        image: Image,
        operation: Install | Remove,
        file: Path,
        previous: str | None,
        *,
        undo: bool = False,
    ) -> PackageOperation:
        installer = self._installers[operation.installer]
        installs = isinstance(operation, Install)
        wanted = previous if not installs or previous != operation.package.version else None
        previous_file = await self.kept.secure(index, operation.id, installer, operation.package, wanted)
        job = Job(
            operation.package.name,
            operation.package.version,
            Command.INSTALL if installs else Command.REMOVE,
            previous,
            can_restore=previous_file is not None or (installs and Capability.TWO_SLOTS in installer.capabilities),
            undo=undo,
            before=await self.kept.before(index, operation.id),
        )
        key = UNDO + operation.id if undo else operation.id
        following = image.manifest.operations[image.manifest.operations.index(operation) + 1 :]
        later = frozenset(each.package.name for each in following if isinstance(each, Install | Remove))
        return PackageOperation(index, job, installer, file, previous_file, key, later)

    async def _take_out(self, index: int, image: Image, operation: Operation) -> Path:
        name, path = file_of(operation), self._path(index, image, operation)
        if name is not None and not path.exists():
            private_folder(path.parent)
            await asyncio.to_thread(image.take_out, name, path)
        return path

    def _path(self, index: int, image: Image, operation: Operation) -> Path:
        return self._folder / str(index) / f"{image.manifest.operations.index(operation)}.payload"

    async def _output(self, index: int, operation: str, text: str) -> str:
        history, _ = await self._journal.steps(index, operation)
        return "\n".join([*(record.output for record in history if record.output), text])

    async def _keep_all(self, index: int, image: Image) -> None:
        """Keep the files of what runs now, since nothing has to be gone back to any more."""
        for operation in image.manifest.operations:
            if isinstance(operation, Install):
                installer = self._installers[operation.installer]
                try:
                    found = await installer.find(operation.package.name)
                except InstallerFailed:
                    continue
                if Capability.RESTORE in installer.capabilities and found.runs(operation.package.version):
                    self.kept.keep(operation.package, installer.name, self._path(index, image, operation))
