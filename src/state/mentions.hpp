/// state/mentions: which records of the log say something of a page.
///
/// Of a segment that the log has left, its index tells (log/segment_index); who asks first reads
/// the segment and makes the index. Of the newest one, this process remembers what it has read, and
/// reads on. A private bus, whose log is folded away from its beginning, and what is left of a
/// segment whose beginning is no longer kept, are read each time.
/// Threads: any; who asks for the newest segment waits for others who do.
#pragma once

#include "state/replayer.hpp"

namespace mmsb::state {

struct RecordsOfPage {
    std::vector<Lsn> starts{};  ///< Ascending.
    Lsn upto = 0;               ///< `to`, or where the segment ends before that.
};
/// In one segment: in [from, to), of which `from` is where a record begins, or would; `to` is
/// logged. Throws what Cursor::next does.
[[nodiscard]] RecordsOfPage records_of(Attachment& bus, PageId page, Lsn from, Lsn to);

/// Throws Corrupt: what starts there says nothing of the page, of which records_of() says it does.
[[noreturn]] void throw_wrong_index(Attachment& bus, Lsn start, PageId page);

/// Compares the indexes that there are with the log, for who reads all of that.
class IndexCheck {
public:
    /// From where on.
    IndexCheck(Attachment& bus, Lsn from) : bus_(bus), from_(from) {}
    /// Of each commit, in order. Throws Corrupt where the index of the segment before is not what
    /// that says.
    void see(Replayer& replayer);

private:
    Attachment& bus_;
    Lsn from_;
    log::Range segment_{};
    bool has_index_ = false;
    std::vector<log::Mention> mentions_{};
};

}  // namespace mmsb::state
