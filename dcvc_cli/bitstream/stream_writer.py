"""Writes a .dcvc stream unit by unit to anything with write(bytes): never seeks, keeps only the index of I frames (docs/bitstream.md)."""

import zlib

from dcvc_cli.bitstream.faults import BitstreamError, Rule
from dcvc_cli.bitstream.nal import CHECK_SIZE, MAX_SPS_IDS, SIGNATURE, NalType, UnitHeader, check_seed, write_frame_unit, write_unit
from dcvc_cli.bitstream.sei import FreeText, PictureHash, SeiMessage, UserData, write_sei
from dcvc_cli.bitstream.sps import HashKind, Sps, write_sps
from dcvc_cli.bitstream.units import INDEX_ENTRY_SIZE, MAX_INDEX_PAYLOAD_SIZE, IndexEntry, write_end, write_index
from dcvc_cli.bitstream.window import ByteSink, write_all


class StreamWriter:
    """One .dcvc stream, from the signature to the end unit. Same calls, same bytes.

    Every method that writes returns the number of bytes that it added, signature and repeated SPS included.

    Args:
        sink: where the bytes go.
        index_all_frames: list P frames too; 13 bytes each. I frames are always listed.
    """

    def __init__(self, sink: ByteSink, index_all_frames: bool = False) -> None:
        self._sink = sink
        self._index_all_frames = index_all_frames
        self._sps: dict[int, tuple[Sps, int, bytes]] = {}
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
        """An SPS unit; `sps_id` 0..15 stands for it until it is written again.

        Write it just before the first I frame; later I frames repeat it by themselves.
        """
        unit = write_unit(NalType.SPS, sps_id, write_sps(sps))
        self._sps[sps_id] = (sps, int.from_bytes(unit[-CHECK_SIZE:], "big"), unit)
        return self._write_sps_unit(sps_id)

    def use_sps(self, sps: Sps) -> int:
        """The id (not a number of bytes) under which `sps` stands. A new one is written now, under an id that is free or else the next in turn."""
        for sps_id, (known, _, _) in self._sps.items():
            if known == sps:
                return sps_id
        free = next((number for number in range(MAX_SPS_IDS) if number not in self._sps), None)
        sps_id = self._next_turn if free is None else free
        self._next_turn = (sps_id + 1) % MAX_SPS_IDS
        self.write_sps(sps_id, sps)
        return sps_id

    def write_frame(self, frame_type: NalType, sps_id: int, qp: int, reset: bool, payload: bytes) -> int:
        """A frame unit, an I frame with its SPS before it.

        Args:
            qp: final table index, 0..63 for I, 0..71 for P.
            reset: P frames: the decoder drops the reference feature first (use_ada_i).

        Raises BitstreamError where no decoder could read the result: an SPS id never written, a P frame without an I frame
        or under an SPS of other pictures, a payload above the limit of the picture size.
        """
        if sps_id not in self._sps:
            raise BitstreamError(Rule.SPS_MISSING, f"the frame names SPS id {sps_id}, which was not written")
        sps, sps_check, _ = self._sps[sps_id]
        if len(payload) > sps.max_frame_payload_size:
            message = f"a frame payload of {len(payload)} bytes is above {sps.max_frame_payload_size}, the limit of {sps.width}x{sps.height}"
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
                raise BitstreamError(Rule.SPS_CHANGED, "a P frame names an SPS of other pictures or another model than its I frame")
            if self._index_all_frames:
                self._add_entry(frame_type, self.size_bytes)
            unit = write_frame_unit(header, payload, check_seed(sps_check, self._gop[1]), self._next_number)
        self._write_unit(unit)
        self._next_number = (self._next_number + 1) % 256
        self.num_frames += 1
        return self.size_bytes - before

    def write_hash(self, kind: HashKind, digest: bytes) -> int:
        """The picture hash of the last frame written; `digest` from `sei.hash_picture`."""
        if not self.num_frames:
            raise BitstreamError(Rule.HASH_FRAME, "a picture hash is written before any frame")
        return self.write_message(PictureHash(kind, digest, (self._next_number - 1) % 256))

    def write_text(self, text: str) -> int:
        """Free text for people, such as the encoder's settings."""
        return self.write_message(FreeText(text))

    def write_user_data(self, uuid: bytes, data: bytes) -> int:
        """Bytes of a format of its own, named by a 16-byte UUID."""
        return self.write_message(UserData(uuid, data))

    def write_message(self, message: SeiMessage) -> int:
        """Any SEI message as it is."""
        return self._write_unit(write_unit(NalType.SEI, 0, write_sei(message)))

    def finish(self) -> int:
        """The index (where there is a frame) and the end unit. The sink stays open."""
        before = self.size_bytes
        self._write_signature()
        index_offset = self.size_bytes
        if self._entries:
            self._write_unit(write_unit(NalType.INDEX, 0, write_index(self._entries)))
        end_offset = self.size_bytes
        self._write_unit(write_unit(NalType.END, 0, write_end(self.num_frames, end_offset - index_offset, end_offset, self._stream_check)))
        self._finished = True
        return self.size_bytes - before

    def _add_entry(self, frame_type: NalType, offset: int) -> None:
        if len(self._entries) < MAX_INDEX_PAYLOAD_SIZE // INDEX_ENTRY_SIZE:
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
