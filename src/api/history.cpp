// The log as records.
#include "api/log_walk.hpp"
#include "delta/codec.hpp"

#include <mmsb/view.hpp>

#include <algorithm>

namespace mmsb::detail {

namespace {

// The commits that the bounds admit, and the structure as after each of them.
class Commits : public Walk {
public:
    Commits(Handle bus, Bounds wanted) : Walk(bus, std::move(wanted)) {
        auto& at = attachment();
        const auto oldest = oldest_of(at);
        const auto first = bounds().from;
        const replay::Keep no_bytes{replay::Keep::Which::none, {}};
        log::Lsn from = 0;
        structure_ = first == Sequence::zero
                         ? state::base_image(at, no_bytes, from)
                         : state::start_image(at, std::max(oldest, first - 1), no_bytes, from);
        // Now: a private bus may have folded more of it meanwhile.
        const auto before = std::max(oldest, structure_.sequence());
        if (first != Sequence::zero && first <= before) throw_dropped(before);
        begin(from, structure_.sequence());
    }

    /// Moves to the next one; structure() is as after it.
    bool next() {
        while (next_record()) {
            const auto wrong = record().only_bytes ? structure_.apply_bytes(record(), pages())
                                                   : structure_.apply(record(), body());
            if (!wrong.empty())
                throw Corrupt(ErrorCode::corrupt,
                              "a record contradicts the ones before it: " + wrong,
                              {.path = attachment().path,
                               .expected = "a record that follows",
                               .found = wrong,
                               .offset = record().start,
                               .sequence = record().sequence - 1});
            if (record().kind == log::RecordKind::commit && bounds().admits(record(), source()))
                return true;
        }
        return false;
    }
    [[nodiscard]] const replay::Image& structure() const { return structure_; }
    [[nodiscard]] std::string source() const {
        const auto known = structure_.sources().find(record().source);
        return known == structure_.sources().end() ? std::string() : known->second;
    }

private:
    replay::Image structure_{};
};

void add_type(Record& out, RecordType type) {
    if (std::find(out.types.begin(), out.types.end(), type) == out.types.end())
        out.types.push_back(type);
}

// What an entry that is of no page says.
void add_dependency(const log::Entry& entry, Record& out) {
    if (entry.kind == log::EntryKind::edge) {
        const auto& [parent, child, type, added] = entry.edge;
        add_type(out, added ? RecordType::edge_added : RecordType::edge_removed);
        (added ? out.edges_added : out.edges_removed).push_back({parent, child, type});
        return;
    }
    const auto& formula = entry.formula;
    add_type(out, formula.added ? RecordType::page_derived : RecordType::page_underived);
    for (const auto parent : log::page_ids(formula.parents))
        out.edges_added.push_back({parent, formula.child, EdgeType::data});
}

// The facade's record; false where it names none of the pages that are asked for.
bool record_of(Commits& commits, const std::vector<PageId>& pages, Record& out) {
    bool asked = pages.empty();
    if (!asked)
        commits.each_entry([&](const log::Entry& entry) {
            asked = entry.kind == log::EntryKind::page &&
                    std::ranges::find(pages, entry.page.page) != pages.end();
            return !asked;
        });
    if (!asked) return false;
    const auto& record = commits.record();
    out = {};
    out.sequence = record.sequence;
    out.time = time_of(record);
    out.source = commits.source();
    out.label = record.label;
    out.tag = record.tag;
    out.process = record.process;
    commits.each_entry([&](const log::Entry& entry) {
        if (entry.kind != log::EntryKind::page) {
            add_dependency(entry, out);
            return true;
        }
        const auto& e = entry.page;
        if (e.created) add_type(out, RecordType::page_created);
        if (e.deleted) add_type(out, RecordType::page_deleted);
        if (e.resized) add_type(out, RecordType::page_resized);
        if (e.renamed && !e.created) add_type(out, RecordType::page_renamed);
        if (!e.metadata.empty() && !e.created) add_type(out, RecordType::metadata_set);
        if (e.stale) add_type(out, RecordType::page_stale);
        if (!e.delta.empty()) {
            add_type(out, RecordType::commit);
            out.deltas.push_back(
                delta::make_delta(e.page, e.epoch, static_cast<std::size_t>(e.size), e.delta));
        }
        if (!e.created && !e.deleted && !e.resized && !e.renamed && e.metadata.empty() && !e.stale)
            return true;
        if (const auto* page = commits.structure().find(e.page)) {
            out.pages.push_back(commits.structure().info(e.page, *page));
        } else {
            auto& gone = out.pages.emplace_back();
            gone.id = e.page;
            gone.epoch = e.epoch;
        }
        return true;
    });
    return true;
}

}  // namespace

template class Stream<Change>;
template class Stream<Record>;

std::shared_ptr<Stream<Record>::Impl> open_tlog(Handle bus, const LogFilter& filter) {
    auto commits = std::make_shared<Commits>(
        Bus::bare(bus), Bounds{filter.from, filter.to, filter.since, filter.until, filter.source});
    auto impl = stream_of<Record>(commits);
    impl->next = [commits, pages = filter.pages, tag = filter.tag](Record& record) {
        while (commits->next())
            if ((!tag || commits->record().tag == *tag) && record_of(*commits, pages, record))
                return true;
        return false;
    };
    return impl;
}

}  // namespace mmsb::detail
