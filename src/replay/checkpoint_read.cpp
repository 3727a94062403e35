#include "base/bytes.hpp"
#include "base/limits.hpp"
#include "replay/checkpoint_blocks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

namespace mmsb::replay {

namespace {

using layout::Item;

// One pass over the items. Each step says whether to go on; the first that does not has filled the
// blocks' refusal.
class Reader {
public:
    Reader(ReadSome read, ReadOptions options) : in_(read), options_(std::move(options)) {}

    log::Decoded<Checkpoint> read_all();
    log::Decoded<CheckpointStructure> read_structure();

private:
    // Bytes that are still to come, of contents or of a change.
    struct Pending {
        Bytes bytes{};
        std::uint64_t missing = 0, size = 0;
        bool kept = true;
    };

    bool read_items();
    bool read_item(base::ByteReader& in, Item item);
    bool read_source(base::ByteReader& in);
    bool read_page(base::ByteReader& in);
    bool read_edge(base::ByteReader& in);
    bool read_formula(base::ByteReader& in);
    bool read_contents(base::ByteReader& in);
    bool read_change(base::ByteReader& in);
    bool read_piece(base::ByteReader& in, Item item);
    bool read_end(base::ByteReader& in);
    bool begin_pieces(std::uint64_t size, bool kept);
    bool end_pieces();
    // The structure is whole: what comes next is of the pages.
    FuzzyImage& pages();

    bool refuse(std::string expected, std::string found) {
        return in_.refuse(std::move(expected), std::move(found));
    }
    template <class T>
    log::Decoded<T> refused() {
        return {.value = std::nullopt, .refusal = std::move(in_.refusal())};
    }

    BlockReader in_;
    ReadOptions options_;
    Structure structure_{};
    std::optional<FuzzyImage> pages_{};
    Image image_{};
    Item last_ = Item::source;
    PageId last_page_ = PageId::none;  // of the pages, then of the contents
    std::uint64_t announced_ = 0;      // bytes of contents that are kept
    std::uint64_t contents_ = 0, changes_ = 0;
    Pending pending_{};
    PageId page_ = PageId::none;  // whose contents are pending; none: a change is
    ImagePage page_contents_{};
    log::Record change_{};
    bool structure_only_ = false, ended_ = false;
};

// The order of the items: none comes behind one of a later kind.
int rank(Item item) noexcept {
    switch (item) {
        case Item::source:
            return 0;
        case Item::page:
            return 1;
        case Item::edge:
            return 2;
        case Item::formula:
            return 3;
        case Item::contents:
            return 4;
        case Item::change:
            return 5;
        default:
            return 6;
    }
}

FuzzyImage& Reader::pages() {
    if (!pages_) {
        structure_.head = in_.header().structure;
        pages_.emplace(std::move(structure_), options_.keep, options_.most_bytes);
        last_page_ = PageId::none;
    }
    return *pages_;
}

bool Reader::read_items() {
    base::ByteReader in(in_.items());
    while (!in.at_end()) {
        if (ended_) return refuse("nothing behind the end", "more items");
        const auto tag = in.fixed<std::uint8_t>();
        const auto item = static_cast<Item>(tag);
        const bool piece = item == Item::bytes || item == Item::zeros;
        if (piece != (pending_.missing != 0))
            return refuse(piece ? "no more bytes" : "the rest of the bytes",
                          fmt::format("item {}", tag));
        if (tag < 1 || tag > static_cast<std::uint8_t>(Item::formula))
            return refuse("an item", fmt::format("tag {}", tag));
        if (!piece && rank(item) < rank(last_))
            return refuse(
                "sources, pages, edges, formulas, contents, changes, in this order",
                fmt::format("item {} behind item {}", tag, static_cast<std::uint8_t>(last_)));
        if (!piece) last_ = item;
        if (structure_only_ && rank(item) > rank(Item::formula)) return true;
        if (!read_item(in, item)) return false;
    }
    return true;
}

bool Reader::read_item(base::ByteReader& in, Item item) {
    switch (item) {
        case Item::source:
            return read_source(in);
        case Item::page:
            return read_page(in);
        case Item::edge:
            return read_edge(in);
        case Item::formula:
            return read_formula(in);
        case Item::contents:
            return read_contents(in);
        case Item::change:
            return read_change(in);
        case Item::end:
            return read_end(in);
        default:
            return read_piece(in, item);
    }
}

bool Reader::read_source(base::ByteReader& in) {
    const auto number = in.varint();
    const auto name = in.text(limits::name_size);
    if (in.failed()) return refuse("a source's number and name", "other bytes");
    auto& sources = structure_.sources;
    const auto above = sources.empty() ? 0 : sources.rbegin()->first;
    if (number <= above || number > limits::source_names || name.empty())
        return refuse(fmt::format("a source above {}", above),
                      fmt::format("{}, '{}'", number, name));
    sources.emplace_hint(sources.end(), static_cast<std::uint32_t>(number), name);
    return true;
}

bool Reader::read_page(base::ByteReader& in) {
    const PageId id{in.varint()};
    const auto line = in.varint();
    PageStructure page{.location = static_cast<Location>(in.fixed<std::uint8_t>())};
    page.name = in.text(limits::name_size);
    auto count = in.varint();
    for (; count != 0 && !in.failed(); --count) {
        const auto key = in.text(limits::metadata_size);
        const auto value = in.text(limits::metadata_size);
        if (!page.metadata.try_emplace(std::string(key), value).second) in.fail();
    }
    if (in.failed() || line > std::numeric_limits<std::uint32_t>::max() ||
        page.location > Location::unified)
        return refuse("a page's fields", "other bytes");
    page.line = static_cast<std::uint32_t>(line);
    if (id <= last_page_) return refuse("pages by id", fmt::format("page {}", number(id)));
    last_page_ = id;
    structure_.pages.emplace_hint(structure_.pages.end(), id, std::move(page));
    return true;
}

bool Reader::read_edge(base::ByteReader& in) {
    const PageId parent{in.varint()}, child{in.varint()};
    const auto type = in.fixed<std::uint8_t>();
    auto& edges = structure_.dependencies.edges;
    const Edge edge{parent, child, static_cast<EdgeType>(type)};
    if (in.failed() || edge.type > EdgeType::compiler)
        return refuse("an edge's two pages and type", "other bytes");
    if (!edges.empty() && edge <= *edges.rbegin())
        return refuse("edges by parent, child and type",
                      fmt::format("{} to {}", number(parent), number(child)));
    edges.insert(edges.end(), edge);
    return true;
}

bool Reader::read_formula(base::ByteReader& in) {
    const PageId child{in.varint()};
    Formula formula{.function = std::string(in.text(limits::name_size))};
    const auto arguments = in.varint();
    if (arguments > limits::formula_arguments) in.fail();
    const auto bytes = in.bytes(arguments);
    formula.arguments.assign(bytes.begin(), bytes.end());
    auto parents = in.varint();
    if (parents == 0 || parents > limits::formula_parents) in.fail();
    for (; parents != 0 && !in.failed(); --parents) formula.parents.push_back(PageId{in.varint()});
    if (in.failed() || formula.function.empty())
        return refuse("a formula's page, function, arguments and parents", "other bytes");
    auto& formulas = structure_.dependencies.formulas;
    if (!formulas.empty() && child <= formulas.rbegin()->first)
        return refuse("formulas by page", fmt::format("page {}", number(child)));
    formulas.emplace_hint(formulas.end(), child, std::move(formula));
    return true;
}

bool Reader::read_contents(base::ByteReader& in) {
    auto& pages = this->pages();
    const PageId id{in.varint()};
    page_contents_ = {};
    page_contents_.epoch = Epoch{in.varint()};
    page_contents_.sequence = Sequence{in.varint()};
    page_contents_.lsn = in.varint();
    page_contents_.size = in.varint();
    const auto stale = in.fixed<std::uint8_t>();
    page_contents_.stale = stale == 1;
    if (in.failed() || stale > 1)
        return refuse("five numbers of a page's contents, and whether it is stale", "other bytes");
    if (id <= last_page_ || !pages.expects(id))
        return refuse("contents of the structure's pages, by id",
                      fmt::format("page {}", number(id)));
    if (page_contents_.size > limits::page_size)
        return in_.refuse_number("a page of at most", limits::page_size, page_contents_.size);
    last_page_ = page_ = id;
    ++contents_;
    const bool kept = pages.keeps(id);
    announced_ += kept ? page_contents_.size : 0;
    if (announced_ > options_.most_bytes)
        return in_.refuse_number("bytes of pages, at most", options_.most_bytes, announced_);
    return begin_pieces(page_contents_.size, kept);
}

bool Reader::read_change(base::ByteReader& in) {
    static_cast<void>(pages());
    change_ = {};
    change_.kind = static_cast<log::RecordKind>(in.fixed<std::uint8_t>());
    change_.start = in.varint();
    change_.end = in.varint();
    change_.sequence = Sequence{in.varint()};
    const auto size = in.varint();
    if (in.failed()) return refuse("a change's kind and four numbers", "other bytes");
    if (change_.start < in_.header().lsn)
        return in_.refuse_number("a record from LSN", in_.header().lsn, change_.start);
    page_ = PageId::none;
    ++changes_;
    return begin_pieces(size, true);
}

bool Reader::begin_pieces(std::uint64_t size, bool kept) {
    pending_ = {.missing = size, .size = size, .kept = kept};
    return size != 0 || end_pieces();
}

bool Reader::read_piece(base::ByteReader& in, Item item) {
    const auto size = in.varint();
    const auto bytes = in.bytes(item == Item::bytes ? size : 0);
    if (in.failed() || size == 0 || size > pending_.missing)
        return in_.refuse_number("bytes, at most", pending_.missing, size);
    // A change is as large as it is stored: only pages have stretches of zeros worth an attack.
    if (page_ == PageId::none && pending_.bytes.size() + size > options_.most_bytes)
        return in_.refuse_number("bytes of a change, at most", options_.most_bytes, pending_.size);
    pending_.missing -= size;
    if (pending_.kept) {
        auto& to = pending_.bytes;
        const auto n = static_cast<std::size_t>(size);
        if (to.capacity() - to.size() < n) {
            // As vectors grow, but never beyond what was announced.
            to.reserve(std::min<std::size_t>(static_cast<std::size_t>(pending_.size),
                                             std::max(2 * to.size(), to.size() + n)));
        }
        if (item == Item::bytes)
            to.insert(to.end(), bytes.begin(), bytes.end());
        else
            to.resize(to.size() + n);
    }
    return pending_.missing != 0 || end_pieces();
}

bool Reader::end_pieces() {
    std::string problem;
    if (page_ == PageId::none) {
        problem = pages_->apply(change_, pending_.bytes);
    } else {
        page_contents_.bytes = std::move(pending_.bytes);
        problem = pages_->put(page_, std::move(page_contents_));
    }
    pending_ = {};
    return problem.empty() || refuse("a change that follows", std::move(problem));
}

bool Reader::read_end(base::ByteReader& in) {
    auto& pages = this->pages();
    FuzzyImage::End end;
    end.sequence = Sequence{in.varint()};
    end.time_ns = static_cast<std::int64_t>(in.varint());
    end.lsn = in.varint();
    end.next_page = in.varint();
    end.structure = in.varint();
    const auto contents = in.varint(), changes = in.varint(), blocks = in.varint();
    if (in.failed()) return refuse("the end's eight numbers", "other bytes");
    if (contents != contents_) return in_.refuse_number("contents:", contents, contents_);
    if (changes != changes_) return in_.refuse_number("changes:", changes, changes_);
    if (blocks != in_.blocks()) return in_.refuse_number("blocks:", blocks, in_.blocks());
    if (end.next_page == 0) return refuse("a next page id", "0");
    if (end.lsn < in_.header().lsn || end.structure < in_.header().structure)
        return refuse("an end behind the start", fmt::format("LSN {}", end.lsn));
    if (auto problem = pages.finish(end, image_); !problem.empty())
        return refuse("pages that agree", std::move(problem));
    ended_ = true;
    return true;
}

log::Decoded<Checkpoint> Reader::read_all() {
    bool good = in_.read_header();
    while (good && !ended_) good = in_.read_block() && read_items();
    if (!good || !in_.read_end()) return refused<Checkpoint>();
    return {.value = Checkpoint{.bus = in_.header().bus, .image = std::move(image_)},
            .refusal = {}};
}

log::Decoded<CheckpointStructure> Reader::read_structure() {
    structure_only_ = true;
    bool good = in_.read_header();
    while (good && rank(last_) <= rank(Item::formula)) good = in_.read_block() && read_items();
    if (!good) return refused<CheckpointStructure>();
    structure_.head = in_.header().structure;
    return {.value = CheckpointStructure{in_.header().bus, in_.header().lsn, std::move(structure_)},
            .refusal = {}};
}

}  // namespace

log::Decoded<Checkpoint> read_checkpoint(ReadSome read, ReadOptions options) {
    return Reader(read, std::move(options)).read_all();
}

log::Decoded<CheckpointStructure> read_checkpoint_structure(ReadSome read) {
    return Reader(read, {}).read_structure();
}

}  // namespace mmsb::replay
