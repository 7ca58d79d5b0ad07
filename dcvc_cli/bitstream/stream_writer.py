"""Writes a .dcvc stream unit by unit to anything with write(bytes): never seeks, keeps only the index of I frames
(docs/bitstream.md)."""

import zlib

from dcvc_cli.bitstream.faults import BitstreamError, Rule
from dcvc_cli.bitstream.limits import FrameLimits, LimitsOf, limits_under
from dcvc_cli.bitstream.nal import (
    CHECK_SIZE,
    MAX_SPS_IDS,
    SIGNATURE,
    NalType,
    UnitHeader,
    check_seed,
    write_frame_unit,
    write_unit,
)
from dcvc_cli.bitstream.picture_header import PictureHeader, write_picture_header
from dcvc_cli.bitstream.sei import FreeText, PictureHash, SeiMessage, UserData, write_sei
from dcvc_cli.bitstream.sps import HashKind, Sps
from dcvc_cli.bitstream.sps_syntax import write_sps
from dcvc_cli.bitstream.tracks import Metadata, TrackHeader, TrackPacket, write_metadata, write_track
from dcvc_cli.bitstream.units import MAX_INDEX_ENTRIES, IndexEntry, write_end, write_index
from dcvc_cli.bitstream.window import ByteSink, write_all


class StreamWriter:
    """Writes one .dcvc stream, from the signature to the end unit. The same calls make the same bytes.

    Every method that writes returns the number of bytes that it added, signature and repeated SPS included.

    Args:
        sink: where the bytes go.
        index_all_frames: list P frames too; 13 bytes each. I frames are always listed.
        limits_of: what the model family of an SPS allows; None: the limits of the format.
    """

    def __init__(self, sink: ByteSink, index_all_frames: bool = False, limits_of: LimitsOf | None = None) -> None:
        self._sink = sink
        self._limits_of = limits_of
        self._index_all_frames = index_all_frames
        self._sps: dict[int, tuple[Sps, int, bytes, FrameLimits]] = {}
        """By id: SPS, check of its unit, the unit, limits of its frames."""
        self._gop: tuple[Sps, int] | None = None
        """SPS and check of the last I unit."""
        self._last_sps: tuple[int, int] | None = None
        """(id, offset) of the SPS unit that was written last, None once another unit followed it."""
        self._next_turn = 0
        self._next_number = 0
        self._entries: list[IndexEntry] = []
        self._stream_check = 0
        self._finished = False
        self.num_frames = 0
        self.size_bytes = 0

    def write_sps(self, sps_id: int, sps: Sps) -> int:
        """Writes an SPS unit. `sps_id`, 0..15, stands for the SPS until another is written under it.

        Call it just before the first I frame. The writer repeats the SPS before later I frames.
        """
        unit = write_unit(NalType.SPS, sps_id, write_sps(sps))
        limits = limits_under(sps, self._limits_of)
        self._sps[sps_id] = (sps, int.from_bytes(unit[-CHECK_SIZE:], "big"), unit, limits)
        return self._write_sps_unit(sps_id)

    def use_sps(self, sps: Sps) -> int:
        """Returns the id of `sps` (not a number of bytes). A new SPS is written now, under a free id or else under the
        next id in turn."""
        for sps_id, (known, _, _, _) in self._sps.items():
            if known == sps:
                return sps_id
        free = next((number for number in range(MAX_SPS_IDS) if number not in self._sps), None)
        sps_id = self._next_turn if free is None else free
        self._next_turn = (sps_id + 1) % MAX_SPS_IDS
        self.write_sps(sps_id, sps)
        return sps_id

    def write_frame(
        self,
        frame_type: NalType,
        sps_id: int,
        qp: int,
        reset: bool,
        payload: bytes,
        pictures: PictureHeader | None = None,
    ) -> int:
        """Writes a frame unit. An I frame has its SPS before it.

        Args:
            qp: final table index, within the family's limits.
            reset: P frames only: the decoder drops the reference feature first (use_ada_i).
            payload: the coded pictures.
            pictures: number, order and times of the pictures; None: one picture, for an SPS that needs no more.

        Raises:
            BitstreamError: no decoder could read the result. The SPS id was never written; a P frame has no I frame, or
                names an SPS of other pictures; a payload or QP is above its limit; or the SPS does not allow these
                pictures.
        """
        if sps_id not in self._sps:
            raise BitstreamError(Rule.SPS_MISSING, f"the frame names SPS id {sps_id}, which was not written")
        sps, sps_check, _, limits = self._sps[sps_id]
        pictures = pictures or PictureHeader()
        max_qp = limits.max_qp_i if frame_type is NalType.I else limits.max_qp_p
        if qp > max_qp:
            raise BitstreamError(Rule.QP_RANGE, f"QP {qp} of a unit of type {frame_type.name} is above {max_qp}")
        try:
            payload = write_picture_header(sps, frame_type is NalType.I, pictures) + payload
        except ValueError as error:
            raise BitstreamError(Rule.PICTURE_HEADER, str(error)) from None
        if len(payload) > limits.max_payload_size:
            of_size = f"the limit of {sps.width}x{sps.height}"
            message = f"a frame payload of {len(payload)} bytes is above {limits.max_payload_size}, {of_size}"
            raise BitstreamError(Rule.LENGTH_LIMIT, message)
        header = UnitHeader(frame_type, sps_id, len(payload), qp, reset)
        before = self.size_bytes
        if frame_type is NalType.I:
            if self._last_sps is None or self._last_sps[0] != sps_id:
                self._write_sps_unit(sps_id)
            self._next_number = 0
            self._add_entry(frame_type, self._last_sps[1] if self._last_sps else 0)
            unit = write_frame_unit(header, payload, check_seed(sps_check, None), 0)
            self._gop = (sps, int.from_bytes(unit[-CHECK_SIZE:], "big"))
        else:
            if self._gop is None:
                raise BitstreamError(Rule.P_WITHOUT_I, "a P frame is written before any I frame")
            if not sps.can_follow(self._gop[0]):
                raise BitstreamError(
                    Rule.SPS_CHANGED, "a P frame names an SPS of other pictures or another model than its I frame"
                )
            if self._index_all_frames:
                self._add_entry(frame_type, self.size_bytes)
            unit = write_frame_unit(header, payload, check_seed(sps_check, self._gop[1]), self._next_number)
        self._write_unit(unit)
        self._next_number = (self._next_number + 1) % 256
        self.num_frames += pictures.num_pictures
        return self.size_bytes - before

    def write_hash(self, kind: HashKind, digest: bytes) -> int:
        """Writes the picture hashes of the last frame unit; `digest`: of each of its pictures from `sei.hash_picture`,
        joined."""
        if not self.num_frames:
            raise BitstreamError(Rule.HASH_FRAME, "a picture hash is written before any frame")
        return self.write_message(PictureHash(kind, digest, (self._next_number - 1) % 256))

    def write_text(self, text: str) -> int:
        """Writes free text for people, such as the encoder's settings."""
        return self.write_message(FreeText(text))

    def write_user_data(self, uuid: bytes, data: bytes) -> int:
        """Writes bytes in a user's own format, which a 16-byte UUID names."""
        return self.write_message(UserData(uuid, data))

    def write_message(self, message: SeiMessage) -> int:
        """Writes any SEI message as it is."""
        return self._write_unit(write_unit(NalType.SEI, 0, write_sei(message)))

    def write_metadata(self, picture: int, kind: int, data: bytes) -> int:
        """Writes a message of one picture of the last frame unit, counted from 0 in coding order."""
        if not self.num_frames:
            raise BitstreamError(Rule.HASH_FRAME, "metadata is written before any frame")
        message = Metadata((self._next_number - 1) % 256, picture, kind, data)
        return self._write_version_2_unit(NalType.METADATA, write_metadata(message))

    def write_track(self, message: TrackHeader | TrackPacket) -> int:
        """Writes a track's header or packet; not before the first SPS, which tells a reader that such units may
        come."""
        return self._write_version_2_unit(NalType.TRACK, write_track(message))

    def _write_version_2_unit(self, nal_type: NalType, payload: bytes) -> int:
        if not any(sps.format_version > 1 for sps, _, _, _ in self._sps.values()):
            message = f"a unit of type {nal_type.name} is written before any SPS of format version 2"
            raise BitstreamError(Rule.UNIT_TYPE, message)
        return self._write_unit(write_unit(nal_type, 0, payload))

    def finish(self) -> int:
        """Writes the index, if there is a frame, and the end unit. The sink stays open."""
        before = self.size_bytes
        self._write_signature()
        index_offset = self.size_bytes
        if self._entries:
            self._write_unit(write_unit(NalType.INDEX, 0, write_index(self._entries)))
        end_offset = self.size_bytes
        self._write_unit(
            write_unit(
                NalType.END, 0, write_end(self.num_frames, end_offset - index_offset, end_offset, self._stream_check)
            )
        )
        self._finished = True
        return self.size_bytes - before

    def _add_entry(self, frame_type: NalType, offset: int) -> None:
        if len(self._entries) < MAX_INDEX_ENTRIES:
            self._entries.append(IndexEntry(frame_type, self.num_frames, offset))

    def _write_sps_unit(self, sps_id: int) -> int:
        self._write_signature()
        offset = self.size_bytes
        written = self._write_unit(self._sps[sps_id][2])
        self._last_sps = (sps_id, offset)
        return written

    def _write_unit(self, unit: bytes) -> int:
        before = self.size_bytes
        self._write_signature()
        self._write_bytes(unit)
        self._stream_check = zlib.crc32(unit[-CHECK_SIZE:], self._stream_check)
        self._last_sps = None
        return self.size_bytes - before

    def _write_signature(self) -> None:
        if self._finished:
            raise ValueError("the stream is finished")
        if not self.size_bytes:
            self._write_bytes(SIGNATURE)

    def _write_bytes(self, data: bytes) -> None:
        write_all(self._sink, data)
        self.size_bytes += len(data)
