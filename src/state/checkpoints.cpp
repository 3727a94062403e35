#include "state/checkpoints.hpp"

#include "base/bytes.hpp"
#include "base/steps.hpp"
#include "log/segments_new_file.hpp"
#include "state/bus_file.hpp"
#include "state/cursor.hpp"
#include "state/flush.hpp"
#include "state/header.hpp"
#include "state/read.hpp"
#include "state/redo.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <charconv>

namespace mmsb::state {

namespace {

constexpr std::string_view suffix = ".chk";
constexpr std::size_t digits = 16;

std::optional<std::uint64_t> hex_number(std::string_view text) {
    std::uint64_t n = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n, 16);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return n;
}

std::optional<CheckpointFile> parse_name(const std::string& name) {
    if (name.size() != 2 * digits + 1 + suffix.size() || name[digits] != '-' ||
        !name.ends_with(suffix))
        return std::nullopt;
    const auto sequence = hex_number(std::string_view(name).substr(0, digits));
    const auto lsn = hex_number(std::string_view(name).substr(digits + 1, digits));
    if (!sequence || !lsn) return std::nullopt;
    return CheckpointFile{Sequence{*sequence}, *lsn, name};
}

[[noreturn]] void throw_no_way_to(const Attachment& bus, const std::string& problem) {
    const auto base = bus.changing.base_lsn.load();
    throw Corrupt(
        ErrorCode::corrupt,
        fmt::format("{}: the log is kept from position {} on, and no good checkpoint leads there{}",
                    bus.path, base, problem.empty() ? "" : ": " + problem),
        {.path = bus.path + "/checkpoints",
         .expected = checkpoint_name(Sequence{bus.changing.base_sequence.load()}, base),
         .found = problem.empty() ? "no checkpoint" : "a damaged one"});
}

// Runs `read` on the checkpoints not newer than `upto`, newest first, until one is good. Takes no
// lock: where one that was listed is gone, or the base has moved, somebody compacts, and the list
// is made again.
template <class Read>
auto first_good(Attachment& bus, Sequence upto, std::string* damaged, Read read)
    -> std::optional<decltype(read(std::declval<const CheckpointFile&>(), os::File()))> {
    if (!bus.checkpoints) return std::nullopt;
    for (;;) {
        const auto base = bus.changing.base_lsn.load();
        auto files = checkpoint_files(bus);
        while (!files.empty() && files.back().sequence > upto) files.pop_back();
        std::string problem;
        bool gone = false;
        for (; !files.empty() && !gone; files.pop_back()) {
            const auto& name = files.back().name;
            auto file = bus.checkpoints->open(name, os::Create::never, false);
            gone = !file;
            if (gone) break;
            try {
                return read(files.back(), std::move(*file));
            } catch (const Corrupt& e) {
                problem = e.what();
                bus.notice(
                    Notice::Level::warning,
                    fmt::format("{}: a damaged checkpoint was passed over: {}", bus.path, problem));
                if (damaged != nullptr && damaged->empty())
                    *damaged = bus.checkpoints->path() + "/" + name;
            }
        }
        if (gone) continue;
        const auto kept = bus.arena ? bus.words().history_lsn.load() : first_lsn;
        if (base <= first_lsn && kept <= first_lsn) return std::nullopt;
        refresh_header(bus);
        if (bus.changing.base_lsn.load() != base) continue;
        if (base <= first_lsn || upto < Sequence{bus.changing.base_sequence.load()})
            return std::nullopt;
        throw_no_way_to(bus, problem);
    }
}

// Of a file in the bus's folder: a foreign one there, under a checkpoint's name, is damage.
template <class T>
T own(const os::File& file, log::Decoded<T> decoded) {
    if (!decoded.value) log::refuse(file.path(), decoded.refusal);
    return std::move(*decoded.value);
}

auto reader_of(const os::File& file) {
    return [&file, at = std::uint64_t{0}](std::span<std::byte> out) mutable {
        const auto got = file.read(at, out);
        at += got;
        return got;
    };
}

void check_bus(const Attachment& bus, const os::File& file, const log::Uuid& of) {
    if (of == bus.header.uuid) return;
    throw Corrupt(ErrorCode::corrupt, file.path() + " is a checkpoint of another bus",
                  {.path = file.path(), .expected = "one of this bus", .found = "another's"});
}

}  // namespace

std::string checkpoint_name(Sequence sequence, Lsn lsn) {
    return fmt::format("{:016x}-{:016x}{}", number(sequence), lsn, suffix);
}

std::vector<CheckpointFile> checkpoint_files(Attachment& bus) {
    std::vector<CheckpointFile> files;
    if (!bus.checkpoints) return files;
    for (const auto& name : bus.checkpoints->list())
        if (auto file = parse_name(name)) files.push_back(std::move(*file));
    return files;  // the list is sorted, and names sort as their sequences
}

replay::Checkpoint read_checkpoint_file(const os::File& file) {
    auto read = reader_of(file);
    auto decoded = replay::read_checkpoint(read, {});
    if (!decoded.value) throw_refused(file.path(), decoded.refusal);
    return std::move(*decoded.value);
}

replay::Checkpoint read_own_checkpoint(const os::File& file, replay::Keep keep) {
    auto read = reader_of(file);
    return own(file, replay::read_checkpoint(read, {.keep = std::move(keep)}));
}

std::optional<Start> newest_checkpoint(Attachment& bus, Sequence upto, const replay::Keep& keep,
                                       std::string* damaged) {
    return first_good(bus, upto, damaged, [&](const CheckpointFile& found, const os::File& file) {
        auto checkpoint = read_own_checkpoint(file, keep);
        check_bus(bus, file, checkpoint.bus);
        if (checkpoint.image.sequence() != found.sequence)
            throw Corrupt(ErrorCode::corrupt, file.path() + " has another one's name",
                          {.path = file.path(),
                           .expected = fmt::format("sequence {}", number(found.sequence)),
                           .found = fmt::format("{}", number(checkpoint.image.sequence()))});
        const auto lsn = std::max<Lsn>(first_lsn, base::round_up(checkpoint.image.lsn(), 8));
        return Start{std::move(checkpoint.image), lsn};
    });
}

std::optional<replay::Structure> newest_structure(Attachment& bus, Sequence upto) {
    return first_good(bus, upto, nullptr, [&](const CheckpointFile&, const os::File& file) {
        auto read = reader_of(file);
        auto checkpoint = own(file, replay::read_checkpoint_structure(read));
        check_bus(bus, file, checkpoint.bus);
        // One that was begun before the base leads there by records that are no longer kept:
        // then the structure at its end, for which all of it has to be read.
        if (checkpoint.lsn >= bus.words().history_lsn.load())
            return std::move(checkpoint.structure);
        return structure_of(read_own_checkpoint(file, {.which = replay::Keep::Which::none}).image);
    });
}

// ---- writing
// -------------------------------------------------------------------------------------

namespace {

std::uint64_t random_number() {
    std::uint64_t n = 0;
    os::random_bytes(std::as_writable_bytes(std::span(&n, 1)));
    return n;
}

// One pass over the live pages, then over the records that were committed meanwhile.
class Streamer {
public:
    Streamer(Attachment& bus, const replay::CheckpointWriter::Write& write)
        : bus_(bus),
          structure_(follow()),
          writer_({.bus = bus.header.uuid,
                   .lsn = from_,
                   .time_ns = os::clock_ns(),
                   .nonce = random_number()},
                  structure_, write) {}

    /// Start of the newest structural record in it.
    [[nodiscard]] Lsn structure() const { return end_.structure; }

    Position run() {
        for (const auto& [id, page] : structure_.pages) copy(id, page.line);
        // Whatever a copy has is logged by now.
        const auto to = bus_.words().logged.load(std::memory_order_acquire);
        add_changes(to);
        MMSB_STEP("checkpoint.changes");
        end_.lsn = to;
        end_.structure = std::max(end_.structure, structure_.head);
        // Ids are taken before they are committed: no page of the log has one above.
        refresh_header(bus_);
        end_.next_page =
            std::min(bus_.words().next_page.load(), bus_.changing.page_id_ceiling.load() + 1);
        writer_.finish(end_);
        return {to, end_.sequence};
    }

private:
    replay::Structure follow() {
        // Read before the pages are: of a record that ends later, the walk below says these.
        const auto& words = bus_.words();
        constexpr int most_rounds = 1000;
        for (int round = 0;; ++round) {
            const auto tail = arena::tail_of(words);
            from_ = tail.applied;
            end_.sequence = Sequence{tail.sequence};
            end_.time_ns = static_cast<std::int64_t>(tail.time);
            if (words.seal.load(std::memory_order_acquire) == arena::seal_of(tail)) break;
            // A writer is between two stores: then a record is logged that the walk comes by.
            if (words.logged.load(std::memory_order_acquire) != from_) break;
            if (round == most_rounds)
                bus_.arena->contradiction(words.seal, "that of the words beside it");
        }
        bus_.catalog.follow(bus_);
        return bus_.catalog.snapshot();
    }

    void copy(PageId id, std::uint32_t line) {
        Wanted wanted{.page = id, .line = line};
        ReadMany read;
        try {
            read = read_many(bus_, std::span(&wanted, 1));
        } catch (const PageNotFound&) {
            return;  // deleted since: a record among the changes says so
        }
        if (!wanted.found) return;
        const auto& info = wanted.info;
        writer_.contents(id,
                         {.epoch = Epoch{info.epoch},
                          .sequence = Sequence{info.sequence},
                          .lsn = info.lsn,
                          .stale = info.stale()},
                         wanted.bytes);
        MMSB_STEP("checkpoint.page");
        if (info.lsn > from_) newer_[id] = info.lsn;
    }

    // Does any page, or the structure, lack this record?
    bool is_news(const log::Record& record, std::span<const std::byte> body) const {
        if (record.structural) return true;
        log::EntryReader reader(body);
        for (log::Entry entry; reader.next(entry);) {
            if (entry.kind != log::EntryKind::page) continue;
            const auto found = newer_.find(entry.page.page);
            if (found == newer_.end() || found->second < record.end) return true;
        }
        return false;
    }

    void add_changes(Lsn to) {
        Cursor cursor(bus_, from_, to);
        while (cursor.next()) {
            const auto& record = cursor.record();
            end_.sequence = record.sequence;
            end_.time_ns = record.time_ns;
            if (record.structural) end_.structure = record.start;
            if (record.kind == log::RecordKind::source)
                writer_.change(record, record.body);
            else if (record.kind == log::RecordKind::commit && is_news(record, cursor.body()))
                writer_.change(record, cursor.body());
        }
    }

    Attachment& bus_;
    replay::FuzzyImage::End end_{};
    Lsn from_ = 0;
    replay::Structure structure_;
    replay::CheckpointWriter writer_;
    std::unordered_map<PageId, Lsn> newer_{};  // pages copied as of a record behind from_
};

}  // namespace

Position stream_checkpoint(Attachment& bus, const replay::CheckpointWriter::Write& write) {
    return Streamer(bus, write).run();
}

void wait_until_applied(Attachment& bus, Lsn structure, std::chrono::nanoseconds timeout) {
    if (structure == log::no_lsn || structure < bus.words().applied.load(std::memory_order_acquire))
        return;
    const WriterLock lock(bus, timeout);
}

os::FileLock lock_checkpoints(Attachment& bus, std::chrono::milliseconds timeout) {
    os::FileLock lock(std::move(*bus.checkpoints->open("lock", os::Create::if_need, true)));
    if (!lock.exclusive(timeout))
        throw Busy(ErrorCode::busy, bus.path + ": another process is making a checkpoint",
                   {.path = bus.path});
    return lock;
}

CheckpointFile write_checkpoint_in(
    os::Folder& folder, FunctionRef<Position(const replay::CheckpointWriter::Write&)> stream) {
    log::NewFile made(folder);
    std::uint64_t size = 0;
    const auto position = stream([&](std::span<const std::byte> bytes) {
        made.file().write(size, bytes);
        size += bytes.size();
    });
    MMSB_STEP("checkpoint.streamed");
    made.file().sync_data();
    MMSB_STEP("checkpoint.synced");
    static_cast<void>(read_own_checkpoint(made.file(), {.which = replay::Keep::Which::none}));
    MMSB_STEP("checkpoint.read_back");
    CheckpointFile file{position.sequence, position.lsn,
                        checkpoint_name(position.sequence, position.lsn)};
    static_cast<void>(made.publish(file.name));  // taken: another one as of the same record
    MMSB_STEP("checkpoint.named");
    folder.sync();
    MMSB_STEP("checkpoint.name_synced");
    return file;
}

CheckpointFile checkpoint_bus(Attachment& bus, std::chrono::milliseconds timeout) {
    const auto lock = lock_checkpoints(bus, timeout);
    return checkpoint_locked(bus, timeout);
}

CheckpointFile checkpoint_locked(Attachment& bus, std::chrono::milliseconds timeout) {
    auto& words = bus.words();
    const auto known = checkpoint_files(bus);
    if (!known.empty() && known.back().sequence == newest(bus).sequence) return known.back();
    log::NewFile::sweep(*bus.checkpoints);
    MMSB_STEP("checkpoint.begun");
    auto file = write_checkpoint_in(*bus.checkpoints, [&](const auto& write) {
        Streamer streamer(bus, write);
        const auto position = streamer.run();
        wait_until_applied(bus, streamer.structure(), timeout);
        sync_upto(bus, position.lsn, timeout);
        MMSB_STEP("checkpoint.durable");
        return position;
    });
    words.checkpoint_lsn.store(file.lsn);
    MMSB_STEP("checkpoint.position");
    words.checkpoint_time.store(static_cast<std::uint64_t>(os::boot_clock_ns()));
    words.checkpoint_sequence.store(number(file.sequence));
    MMSB_STEP("checkpoint.told");
    return file;
}

}  // namespace mmsb::state
