/// tests/support/contents: all that a bus says of itself, as a value that can be compared and
/// printed.
#pragma once

#include <mmsb/mmsb.hpp>

#include <map>
#include <ostream>

namespace mmsb::test {

struct PageContents {
    std::string name{};
    Metadata metadata{};
    std::uint64_t epoch = 0;
    Bytes bytes{};
    bool derived = false, stale = false;
    friend bool operator==(const PageContents&, const PageContents&) = default;
};

struct Contents {
    std::uint64_t sequence = 0;
    std::map<std::uint64_t, PageContents> pages{};
    std::vector<Edge> edges{};
    friend bool operator==(const Contents&, const Contents&) = default;
};

inline std::ostream& operator<<(std::ostream& out, const Contents& c) {
    out << "sequence " << c.sequence;
    for (const auto& [id, page] : c.pages) {
        out << "; page " << id << " \"" << page.name << "\" epoch " << page.epoch << ", "
            << page.bytes.size() << " bytes" << (page.derived ? ", derived" : "")
            << (page.stale ? ", stale" : "");
        std::uint64_t hash = 14695981039346656037U;
        for (const auto b : page.bytes)
            hash = (hash ^ static_cast<std::uint64_t>(b)) * 1099511628211U;
        out << " #" << std::hex << (hash & 0xffffffU) << std::dec;
        for (const auto& [key, value] : page.metadata) out << ' ' << key << '=' << value;
    }
    for (const auto& edge : c.edges)
        out << "; " << edge.parent << " -> " << edge.child << ' ' << to_string(edge.type);
    return out;
}

/// The live pages.
inline Contents contents_of(const State& state) {
    Contents c;
    c.sequence = number(state.sequence());
    for (const auto& page : state.pages()) {
        const auto info = page.info();
        c.pages[number(info.id)] = {info.name,   info.metadata, number(info.epoch),
                                    page.read(), info.derived,  info.stale};
        const auto children = state.graph().children(info.id);
        c.edges.insert(c.edges.end(), children.begin(), children.end());
    }
    return c;
}

/// The same of the past.
inline Contents contents_of(const View& view) {
    Contents c;
    c.sequence = number(view.sequence());
    for (const auto& info : view.pages()) {
        const auto bytes = view.bytes(info.id);
        c.pages[number(info.id)] = {info.name,          info.metadata,
                                    number(info.epoch), {bytes.begin(), bytes.end()},
                                    info.derived,       info.stale};
    }
    c.edges = view.edges();
    return c;
}

}  // namespace mmsb::test
